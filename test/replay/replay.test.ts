import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import manifest from '../../package.json';
import { recordHistories } from './record';

/**
 * Histories of every outcome, of every version that was released, replay on today's workflows: what is in flight survives
 * an upgrade. A folder for each version; those of the version at work are in the last one.
 */
const folder = join(__dirname, 'histories');
const versions = readdirSync(folder).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
const newest = versions.at(-1)!;
const outcomes = [
  'cancelled-in-build',
  'cancelled-while-waiting',
  'change-request-decided-together',
  'change-request-expired',
  'change-request-rejected',
  'deployed',
  'deployed-by-a-runner',
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
  'runner-lost',
  'sleepers-woken',
  'slept-and-woken',
  'superseded',
];
const workflowBundle = { codePath: process.env.TEST_WORKFLOWS! };
beforeAll(async () => {
  if (process.env.RECORD_HISTORIES) await recordHistories(process.env.RECORD_HISTORIES);
  // What is altered fails, and says so at length.
  else
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: { logging: { forward: {} } },
    });
});

const read = (version: string, name: string): unknown =>
  JSON.parse(readFileSync(join(folder, version, `${name}.json`), 'utf8'));
const replay = (history: unknown) => Worker.runReplayHistory({ workflowBundle }, history);

it('there is one for each outcome of the version at work', () => {
  expect(`${manifest.version}.`.startsWith(`${newest}.`)).toBe(true);
  // What a later state of the version records otherwise stands beside it: outcome~how.
  const recorded = readdirSync(join(folder, newest)).map((name) => name.replace(/(~.*)?\.json$/, ''));
  expect([...new Set(recorded)].sort()).toEqual([...outcomes].sort());
});

describe.each(versions)('%s', (version) => {
  const names = readdirSync(join(folder, version)).map((name) => name.replace('.json', ''));
  it.each(names)('%s', (name) => replay(read(version, name)));
});

it('what one run decides once is not decided for another one of the same worker', async () => {
  const names = ['deployed', 'deployed~outside-of-tasks'];
  const histories = [...names, ...names].map((name, n) => ({
    workflowId: `${name}-${n}`,
    history: read('0.1', name) as never,
  }));
  const errors: unknown[] = [];
  for await (const { error } of Worker.runReplayHistories({ workflowBundle }, histories)) errors.push(error);
  expect(errors).toEqual([undefined, undefined, undefined, undefined]);
});

it.each([
  ['another activity', 'backup', 'swap'],
  ['another order', 'healthCheck', 'build'],
])('a history altered to %s fails', async (_name, from, to) => {
  const history = JSON.parse(
    JSON.stringify(read(newest, 'deployed')).replaceAll(`"name":"${from}"`, `"name":"${to}"`),
  ) as object;
  expect(JSON.stringify(history)).not.toBe(JSON.stringify(read(newest, 'deployed')));
  await expect(replay(history)).rejects.toThrow(DeterminismViolationError);
});
