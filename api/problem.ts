import { isGrpcDeadlineError, ServiceError } from '@temporalio/client';
import type { ErrorRequestHandler } from 'express';
import { errorCodes, messageOf, SignalboxError } from '../domain/errors';
import { recordAudit } from '../db/audit';
import { whyAway } from '../db/away';
import { DatabaseMoved } from '../db/installation';
import type { Person } from '../db/people';
import type { ApiDeps } from './deps';
import { sentences } from '../domain/sentences';

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
    // What is away is back in a moment, or somebody has to act; asking more often helps nobody.
    if (error.status === 503) response.set('Retry-After', String(retryAfterSeconds));
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

const retryAfterSeconds = 2;

/** Statuses by which a rule says no to somebody who is known; bad input is no attempt at anything. */
const refusals = [403, 409, 412, 422, 423];
const subjectOf = (path: string) =>
  /\/((?:CP|RFC|ITEM|EPIC)-[0-9.]+)/.exec(path)?.[1] ?? path.split('/')[2] ?? 'api';

function known(thrown: unknown): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown;
  const { type, status, message, limit } = thrown as Record<string, unknown>;
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
      isGrpcDeadlineError(thrown.cause)
        ? 'Temporal did not answer in time, so it is not known whether it took the request. Try again with the same Idempotency-Key: nothing is done twice.'
        : sentences(
            `Temporal did not take the request, so nothing was started: ${messageOf(thrown)}`,
            'Try again with the same Idempotency-Key',
          ),
    );
  const away = whyAway(thrown);
  if (away) return new SignalboxError(away.code, away.message);
  if (thrown instanceof DatabaseMoved)
    return new SignalboxError(
      'database-moved',
      `${thrown.message} Nothing was begun; try again in a moment.`,
    );
  return new SignalboxError(
    'internal',
    'Something went wrong inside Signalbox. Its log has the details under this request id.',
  );
}
