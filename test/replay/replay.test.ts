import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { recordHistories } from './record';

/** Histories of every outcome replay on today's workflows: what is in flight survives an upgrade. */
const folder = join(__dirname, 'histories');
const outcomes = [
  'cancelled-in-build',
  'cancelled-while-waiting',
  'change-request-decided-together',
  'change-request-expired',
  'change-request-rejected',
  'deployed',
  'held-and-undone',
  'notified',
  'reconciled',
  'pruned',
  'recovered',
  'recovered-once-resolved',
  'refused',
  'rollback-failed-retried',
  'rolled-back',
  'rolled-back-by-hand',
  'rolled-back-first',
  'sleepers-woken',
  'slept-and-woken',
  'superseded',
];
let workflowBundle: { code: string };
beforeAll(async () => {
  if (process.env.RECORD_HISTORIES) await recordHistories(process.env.RECORD_HISTORIES);
  else Runtime.install({ logger: new DefaultLogger('ERROR', () => undefined) });
  workflowBundle = await bundleWorkflowCode({
    workflowsPath: require.resolve('../../workflows/index.ts'),
    payloadConverterPath: require.resolve('../../workflows/payload-converter.ts'),
    logger: new DefaultLogger('ERROR'),
  });
}, 120_000);

const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
const replay = (history: unknown) => Worker.runReplayHistory({ workflowBundle }, history);

it('there is one for each outcome', () => {
  expect(readdirSync(folder).sort()).toEqual(outcomes.map((name) => `${name}.json`).sort());
});

it.each(outcomes)('%s', (name) => replay(read(name)));

it.each([
  ['another activity', 'backup', 'swap'],
  ['another order', 'healthCheck', 'build'],
])('a history altered to %s fails', async (_name, from, to) => {
  const history = JSON.parse(
    JSON.stringify(read('deployed')).replaceAll(`"name":"${from}"`, `"name":"${to}"`),
  ) as object;
  expect(JSON.stringify(history)).not.toBe(JSON.stringify(read('deployed')));
  await expect(replay(history)).rejects.toThrow(DeterminismViolationError);
});
