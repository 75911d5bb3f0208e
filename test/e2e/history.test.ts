import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { resolve } from 'node:path';
import type { HistoryView } from '../../domain/schemas';
import { run } from '../../cli/embedded/fetch-part';
import { cleanUp, cli, startUp, stopUp, until, type Up } from '../helpers/up';

/** What Temporal recorded of a deployment stays readable after Temporal has dropped it. */
let up: Up;
beforeAll(async () => {
  Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  up = await startUp();
  await up.says('Running. Ctrl-C');
});
afterAll(cleanUp);

const ask = async (path: string) =>
  fetch(`${up.endpoints().api}${path}`, {
    headers: { authorization: `Bearer ${up.endpoints().tokens.contributor}` },
  });
const history = async (key: string) =>
  (await (await ask(`/deployments/${key}/history`)).json()) as HistoryView;

it('is kept once a deployment has ended, and outlives Temporal', async () => {
  await cli(up, 'ship', 'shop', 'broken');
  await cli(up, 'approve', 'CP-2');
  expect((await cli(up, 'deploy', 'CP-2', '--wait')).code).toBe(3);
  await until('the history to be kept', async () => (await history('CP-2.1')).runs[0]?.keptAt);
  const before = await history('CP-2.1');
  expect(before.runs).toMatchObject([{ workflowId: 'deploy/CP-2/1', none: null }]);
  const texts = before.runs[0]!.events.map(({ text }) => text);
  expect(texts).toContain('Undo swap: make the release from before current again: done');

  const { temporalAddress } = up.endpoints();
  for (const id of ['deploy/CP-2/1', 'deploy/CP-1/1'])
    await run(process.env.TEST_TEMPORAL!, [
      'workflow',
      'delete',
      '--yes',
      '-w',
      id,
      '--address',
      temporalAddress,
    ]);
  await until('Temporal to have dropped it', async () => {
    const shown = run(process.env.TEST_TEMPORAL!, [
      'workflow',
      'describe',
      '-w',
      'deploy/CP-2/1',
      '--address',
      temporalAddress,
    ]);
    return shown.then(
      () => false,
      () => true,
    );
  });
  expect(await history('CP-2.1')).toEqual(before);

  // What is downloaded is what Temporal's own tools take: it replays against the workflows as they are shipped.
  const answer = await ask(`/deployments/CP-2.1/history.json?run=${before.runs[0]!.runId}`);
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  const whole = (await answer.json()) as { events: object[] };
  expect(whole.events.length).toBeGreaterThan(before.runs[0]!.events.length);
  await Worker.runReplayHistory({ workflowBundle: { codePath: resolve('dist/workflow-bundle.js') } }, whole);

  expect((await ask('/deployments/CP-2.1/history.json?run=another')).status).toBe(404);
  expect((await ask('/deployments/CP-9.1/history')).status).toBe(404);
  await stopUp(up);
});
