import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { Context } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createBuild } from '../../activities/build';
import type { Deps } from '../../activities/deps';
import { createStepRunner } from '../../activities/step';
import type { DeploymentRow } from '../../db/deployments';
import { gate } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** A try that was paused (a stopped worker, a frozen machine) and goes on when a newer one has its step. */
let world: World;
let row: DeploymentRow;
let finish: () => Promise<void>;
const runs = () => join(world.folder, 'runs');
beforeAll(async () => {
  world = await makeWorld();
  const shop = world.targets.get('shop')!;
  // Long enough for the paused try to go on while this runs.
  const argv = ['sh', '-c', `echo $$ >> ${runs()}; sleep 2; ${process.execPath} build.js`];
  // Builds are somebody else there.
  chmodSync(world.folder, 0o777);
  const sandbox = { network: true, read: [], write: [world.folder] };
  world.targets = new Map([['shop', { ...shop, sandbox, build: { ...shop.build, argv } }]]);
});
afterAll(() => world.stop());

/** An attempt whose build Temporal has handed to a worker that does nothing with it. */
beforeEach(async () => {
  rmSync(runs(), { force: true });
  rmSync(join(world.deps.stateDir, 'artifacts'), { recursive: true, force: true });
  const held = gate();
  const there = gate();
  world.faults.build = async () => {
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    there.open();
    await Promise.race([held.opened, Context.current().cancelled]).finally(() => clearInterval(beat));
  };
  const d = await world.start(await world.approved('v1'));
  await there.opened;
  row = await d.row();
  finish = async () => {
    await d.handle.cancel();
    held.open();
    await d.handle.result();
  };
});
afterEach(() => finish());

const tryOf = (attempt: number, deps: Deps = world.deps) =>
  new MockActivityEnvironment({
    attempt,
    workflowExecution: { workflowId: row.owner, runId: row.run_id },
  })
    .run(createBuild(deps, createStepRunner(deps)), {
      deployment: row.id,
      key: `CP-${row.promotion}.1`,
      target: 'shop',
      round: 1,
    })
    .then(
      () => 'done',
      (thrown: Error) => thrown.message,
    );
const workplace = () => join(world.deps.stateDir, 'work', `CP-${row.promotion}.1`);
/** A process as a killed worker leaves it. */
const orphan = (name: string) => {
  const mark = join(workplace(), name);
  mkdirSync(mark, { recursive: true });
  return spawn('sleep', ['60'], { env: { ...process.env, SIGNALBOX_WORK: mark }, stdio: 'ignore' });
};
const ended = (child: ReturnType<typeof orphan>) => child.exitCode !== null || child.signalCode !== null;

it.each([
  ['when it had opened its step', 1],
  ['when it had asked a last time, before it kills', 2],
])('paused %s, it kills and removes nothing of a newer try', async (_when, pausedAt) => {
  // What a first try left is there to be found by both.
  const left = orphan('build-1-1');
  const paused = gate();
  const begun = gate();
  let asks = 0;
  const second = tryOf(2, {
    ...world.deps,
    journal: {
      ...world.deps.journal,
      async begin(...asked) {
        const attempt = await world.deps.journal.begin(...asked);
        if (++asks === pausedAt) {
          begun.open();
          await paused.opened;
        }
        return attempt;
      },
    },
  });
  await begun.opened;
  const third = tryOf(3);
  await world.until('the newer try to build', () => existsSync(runs()));
  paused.open();
  expect(await second).toContain('a newer try or a recovery has taken over');
  expect(await third).toBe('done');
  // Where it could still notice, it does not build a second time either.
  if (pausedAt === 1) expect(readFileSync(runs(), 'utf8').trim().split('\n')).toHaveLength(1);
  expect(ended(left)).toBe(true);
});

it('what a dead try left behind is killed by the next one', async () => {
  const left = orphan('build-1-1');
  expect(await tryOf(2)).toBe('done');
  expect(ended(left)).toBe(true);
  expect(existsSync(join(workplace(), 'build-1-1'))).toBe(false);
});
