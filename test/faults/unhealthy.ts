import type { ServerResponse } from 'node:http';

/** What a release may answer when it is asked for its health. `times`: how often it was; `before`: the release that is well. */
export const unhealthy = {
  'answers-500': (answer) => answer.writeHead(500).end('broken'),
  hangs: () => undefined,
  drips: (answer) => {
    answer.writeHead(200);
    const timer = setInterval(() => answer.write('.'), 100);
    answer.on('close', () => clearInterval(timer));
  },
  // Never twice in a row.
  flaps: (answer, times) => answer.writeHead(times % 2 ? 200 : 500).end('{}'),
  redirects: (answer) => answer.writeHead(302, { location: '/version' }).end(),
  resets: (answer) => answer.destroy(),
  'is-the-stale-version': (answer, _times, before) => answer.writeHead(200).end(before),
  floods: (answer) => {
    answer.writeHead(200);
    const more = (): void => {
      while (!answer.destroyed && answer.write('y'.repeat(65_536)));
      if (!answer.destroyed) answer.once('drain', more);
    };
    more();
  },
} satisfies Record<string, (answer: ServerResponse, times: number, before: string) => unknown>;

export type Unhealthy = keyof typeof unhealthy;
