import { rateLimit, type RateLimitRequestHandler } from 'express-rate-limit';
import { SignalboxError } from '../domain/errors';

/**
 * How often. Who is known is counted by credential, so that one busy client slows down itself alone; attempts that
 * fail are counted by address, and never stand in the way of a credential that is good.
 */
const limits = {
  failures: { windowMs: 60_000, limit: 60, what: 'attempts with no valid credential' },
  requests: { windowMs: 10_000, limit: 5_000, what: 'requests' },
} as const;

export const limitOf = (name: keyof typeof limits): RateLimitRequestHandler =>
  rateLimit({
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
