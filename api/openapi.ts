import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import { errorCodes } from '../domain/errors';
import { permissions } from '../domain/permissions';
import { problemView } from '../domain/schemas';
import type { Route } from './route';

/** The OpenAPI document, made from the routes themselves. */
export function openApiDocument(routes: Route[]) {
  const paths: ZodOpenApiPathsObject = {};
  for (const r of routes) {
    const path = `/api${r.path.replace(/:(\w+)/g, '{$1}')}`;
    const names = [...r.path.matchAll(/:(\w+)/g)].map(([, name]) => name!);
    paths[path] = {
      ...paths[path],
      [r.method]: {
        summary: r.summary,
        description: `Permission \`${r.permission}\`: ${permissions[r.permission].roles.join(', ')}.`,
        parameters: [
          ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
          ...(r.method !== 'get' && !r.readsOnly
            ? [
                {
                  name: 'Idempotency-Key',
                  in: 'header',
                  required: false,
                  schema: { type: 'string', maxLength: 200 },
                },
              ]
            : []),
          ...(r.ifMatch
            ? [
                {
                  name: 'If-Match',
                  in: 'header',
                  description: 'The ETag of the answer that you saw, or the version in it',
                  required: false,
                  schema: { type: 'string' },
                },
              ]
            : []),
        ],
        ...(r.query ? { requestParams: { query: r.query } } : {}),
        ...(r.body ? { requestBody: { content: { 'application/json': { schema: r.body } } } } : {}),
        responses: {
          [String(r.answers.status)]: {
            description: 'Done',
            content: { [r.answers.type ?? 'application/json']: { schema: r.answers.schema } },
          },
          ...(r.answers.accepted
            ? {
                '202': {
                  description: 'Not done yet; send the same request again, with its Idempotency-Key',
                  content: { 'application/json': { schema: r.answers.accepted } },
                },
              }
            : {}),
          default: {
            description: 'Refused or failed; `code` says why',
            content: { 'application/problem+json': { schema: problemView } },
          },
        },
      } as never,
    };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'Signalbox',
      version: '0.1.0',
      description: [
        'Release operations on durable execution. Errors are problem+json with a stable `code`:',
        ...Object.entries(errorCodes).map(
          ([code, { status, title }]) => `- \`${code}\` (${status}): ${title}`,
        ),
      ].join('\n'),
    },
    security: [{ bearer: [] }],
    components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
    paths,
  });
}
