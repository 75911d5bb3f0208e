import type { ServerResponse } from 'node:http';
import type { Scenario } from '../scenario';

/** What a new release may answer when it is asked for its health; the release from before is well. */
const bad: Record<string, (answer: ServerResponse, times: number, before: string) => void> = {
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
};

export const health: Scenario[] = Object.entries(bad).map(([what, behave]) => ({
  name: `besides/health-${what}`,
  async run({ stack, deploy, demand }) {
    const before = (await stack.withDb((db) => db('deployments').where({ status: 'succeeded' }).first()))
      .to_release as string;
    let times = 0;
    stack.site.behave = (answer, release) => {
      if (release === before) answer.end(release);
      else behave(answer, ++times, before);
    };
    const end = await deploy('rolled-back');
    demand(times > 0, 'the new release was never asked');
    demand(/Unhealthy/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
    stack.site.behave = undefined;
  },
}));
