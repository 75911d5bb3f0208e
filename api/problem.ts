import { randomUUID } from 'node:crypto';
import { ServiceError } from '@temporalio/client';
import type { ErrorRequestHandler } from 'express';
import type { Logger } from 'pino';
import { errorCodes, messageOf, SignalboxError } from '../domain/errors';

/** Every error as application/problem+json (RFC 9457), in one place. */
export const problemHandler =
  (log: Logger): ErrorRequestHandler =>
  (thrown: unknown, request, response, next) => {
    if (response.headersSent) return next(thrown);
    const error = known(thrown);
    const body: Record<string, unknown> = { ...error.detail };
    if (error.code === 'internal') {
      const id = randomUUID();
      log.error({ err: thrown, method: request.method, path: request.path, id }, 'a request failed');
      body.id = id;
    }
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

function known(thrown: unknown): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown;
  const { type, status, code, name, message } = thrown as Record<string, unknown>;
  if (thrown instanceof URIError) return new SignalboxError('invalid-input', 'The address is not valid.');
  if (type === 'entity.too.large')
    return new SignalboxError('too-large', 'The body is larger than 256 KiB; send less.');
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
    'Something went wrong inside Signalbox. Its log has the details under this id.',
  );
}
