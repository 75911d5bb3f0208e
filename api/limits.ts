import type { Request, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import { SignalboxError } from '../domain/errors';

/**
 * How often. Who is known is counted by credential, so that one busy client slows down itself alone; attempts that
 * fail are counted by address, and never stand in the way of a credential that is good.
 */
const limits = {
  failures: { windowMs: 60_000, limit: 300, what: 'attempts with no valid credential' },
  requests: { windowMs: 10_000, limit: 5_000, what: 'requests' },
} as const;

/** Counts a request. @throws too-many-requests. */
export type Limit = (request: Request, response: Response) => Promise<void>;

export function limitOf(name: keyof typeof limits): Limit {
  const count = rateLimit({
    windowMs: limits[name].windowMs,
    limit: limits[name].limit,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    keyGenerator: (_request, response) => String(response.locals.who),
    validate: { keyGeneratorIpFallback: false },
    handler: () => {
      const { what, limit, windowMs } = limits[name];
      throw new SignalboxError(
        'too-many-requests',
        `More than ${limit} ${what} in ${windowMs / 1000} s; wait as long as Retry-After says.`,
      );
    },
  });
  return (request, response) =>
    new Promise((resolve, reject) => {
      void count(request, response, (refused?: unknown) =>
        refused instanceof Error ? reject(refused) : resolve(),
      );
    });
}
