import type { RequestHandler } from 'express';

/**
 * Whether this process can do its work now: 200, or 503 and which part does not answer. For load balancers and probes.
 * @param parts what it depends on, each asked anew.
 */
export const readiness =
  (parts: () => Record<string, PromiseLike<unknown>>): RequestHandler =>
  async (_request, response) => {
    const asked = Object.entries(parts()).map(
      async ([name, answer]) => [name, await answers(answer)] as const,
    );
    const found = Object.fromEntries(await Promise.all(asked));
    response.status(Object.values(found).every((part) => part === 'ready') ? 200 : 503).json(found);
  };

const answers = (part: PromiseLike<unknown>) =>
  Promise.race([
    Promise.resolve(part),
    new Promise((_, reject) => setTimeout(() => reject(new Error('no answer')), 2_000).unref()),
  ]).then(
    () => 'ready',
    () => 'away',
  );
