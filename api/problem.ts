import { ServiceError } from '@temporalio/client';
import type { ErrorRequestHandler } from 'express';
import { errorCodes, messageOf, SignalboxError } from '../domain/errors';
import { recordAudit } from '../db/audit';
import type { Person } from '../db/people';
import type { ApiDeps } from './deps';

/** Every error as application/problem+json (RFC 9457), in one place. */
export const problemHandler =
  ({ log, db }: Pick<ApiDeps, 'log' | 'db'>): ErrorRequestHandler =>
  async (thrown: unknown, request, response, next) => {
    if (response.headersSent) return next(thrown);
    const error = known(thrown);
    const id = response.locals.request as string;
    const body: Record<string, unknown> = { ...error.detail, request: id };
    if (error.code === 'internal')
      log.error({ err: thrown, method: request.method, path: request.path, request: id }, 'a request failed');
    const { person } = (response.locals.person ?? {}) as Partial<Person>;
    if (person && refusals.includes(error.status))
      await recordAudit(db, {
        actor: person,
        action: 'request.refused',
        subject: subjectOf(request.path),
        why: `${request.method} ${request.path.slice(0, 200)}: ${error.message}`,
        after: { code: error.code },
        request: id,
      }).catch((cause: unknown) => log.error({ err: cause, request: id }, 'a refusal could not be recorded'));
    if (error.code === 'not-signed-in') response.set('WWW-Authenticate', 'Bearer');
    response
      .status(error.status)
      .type('application/problem+json')
      .send(
        JSON.stringify({
          type: `/api/docs#${error.code}`,
          title: errorCodes[error.code].title,
          status: error.status,
          code: error.code,
          detail: error.message,
          ...body,
        }),
      );
  };

/** Statuses by which a rule says no to somebody who is known; bad input is no attempt at anything. */
const refusals = [403, 409, 412, 422, 423];
const subjectOf = (path: string) =>
  /\/((?:CP|RFC|ITEM|EPIC)-[0-9.]+)/.exec(path)?.[1] ?? path.split('/')[2] ?? 'api';

function known(thrown: unknown): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown;
  const { type, status, code, name, message, limit } = thrown as Record<string, unknown>;
  if (thrown instanceof URIError) return new SignalboxError('invalid-input', 'The address is not valid.');
  if (type === 'entity.too.large')
    return new SignalboxError(
      'too-large',
      `The body is larger than ${Math.round(Number(limit) / 1024)} KiB; send less.`,
    );
  if (type === 'encoding.unsupported' || type === 'charset.unsupported')
    return new SignalboxError('unsupported-media', 'Send JSON in UTF-8.');
  if (typeof type === 'string' && typeof status === 'number' && status < 500)
    return new SignalboxError('invalid-input', `The body could not be read: ${String(message)}`);
  if (thrown instanceof ServiceError)
    return new SignalboxError(
      'temporal-unreachable',
      `Temporal did not take the request, so nothing was started: ${messageOf(thrown)}. Try again with the same Idempotency-Key.`,
    );
  // Class 08 and 57P: the server is away or going away; KnexTimeoutError: no connection came in time.
  if (
    name === 'KnexTimeoutError' ||
    (typeof code === 'string' && /^(08|57P|ECONN|ETIMEDOUT|EPIPE)/.test(code))
  )
    return new SignalboxError('database-unreachable', 'PostgreSQL does not answer; try again in a moment.');
  return new SignalboxError(
    'internal',
    'Something went wrong inside Signalbox. Its log has the details under this request id.',
  );
}
