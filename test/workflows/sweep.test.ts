import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Activities } from '../../activities';
import { makeWorld, type Fault, type World } from '../helpers/world';

/**
 * The saga sweep, going forward: each step fails in turn (before and after its effect), each runs twice, and a
 * cancel arrives in each. Asserted on the target, in the record and in the workflow.
 */
let world: World;
const steps = ['build', 'backup', 'migrate', 'swap', 'healthCheck'] as const satisfies (keyof Activities)[];
const stepName = {
  build: 'build',
  backup: 'backup',
  migrate: 'migrate',
  swap: 'swap',
  healthCheck: 'health-check',
};
let orders: string;

beforeAll(async () => {
  world = await makeWorld();
  await world.deploy('v1');
  expect(world.version()).toBe('v1');
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
  orders = world.orders();
});

async function deployWith(step: keyof Activities, fault: Fault) {
  world.faults[step] = fault;
  const promotion = await world.approved('v2');
  const started = await world.start(promotion);
  return { promotion, ...started };
}
const statuses = async (promotion: number) => [
  (await world.db('promotions').where({ id: promotion }).first()).status,
  (await world.db('change_requests').where({ id: promotion }).first()).status,
];

async function expectRolledBack(d: Awaited<ReturnType<typeof deployWith>>, why: string | RegExp) {
  const row = await d.row();
  expect(row).toMatchObject({ status: 'rolled-back', outcome: expect.stringMatching(why) });
  expect(await statuses(d.promotion)).toEqual(['rolled-back', 'approved']);
  expect((await d.handle.describe()).status.name).toBe('COMPLETED');
  expect(world.version()).toBe('v1');
  expect(world.orders()).toBe(orders);
  await world.checkEnded(row);
}

const broken = () => ApplicationFailure.nonRetryable('it broke', 'Broke');

describe.each(steps)('%s', (step) => {
  it('fails before its effect: everything is as before', async () => {
    const d = await deployWith(step, () => Promise.reject(broken()));
    await d.handle.result();
    await expectRolledBack(d, /it broke/);
  });

  it('fails after its effect: everything is as before', async () => {
    const d = await deployWith(step, async (run) => {
      await run();
      throw broken();
    });
    await d.handle.result();
    await expectRolledBack(d, /it broke/);
  });

  it('is cancelled before its effect', async () => {
    let reached!: () => void;
    const there = new Promise<void>((resolve) => (reached = resolve));
    const d = await deployWith(step, async () => {
      const { cancelled } = Context.current();
      const beat = setInterval(() => Context.current().heartbeat(), 50);
      reached();
      await cancelled.finally(() => clearInterval(beat));
    });
    await there;
    await d.handle.signal(
      'cancelDeployment',
      world.keyring.sign('cancel', d.handle.workflowId, { by: 'rosa', reason: 'a second thought' }),
    );
    await d.handle.result();
    await expectRolledBack(d, /Cancelled by rosa: a second thought/);
  });

  it('is cancelled from Temporal after its effect, before its report', async () => {
    let reached!: () => void;
    const there = new Promise<void>((resolve) => (reached = resolve));
    const d = await deployWith(step, async (run) => {
      await run();
      const { cancelled } = Context.current();
      const beat = setInterval(() => Context.current().heartbeat(), 50);
      reached();
      await cancelled.finally(() => clearInterval(beat));
    });
    await there;
    await d.handle.cancel();
    await d.handle.result();
    await expectRolledBack(d, /Cancelled from Temporal/);
  });

  it('runs twice when its report was lost, and is deployed once', async () => {
    let runs = 0;
    const d = await deployWith(step, async (run) => {
      const value = await run();
      runs += 1;
      if (runs === 1) throw ApplicationFailure.create({ message: 'the report was lost', type: 'Fault' });
      return value;
    });
    await d.handle.result();
    const row = await d.row();
    expect(runs).toBe(2);
    expect(row).toMatchObject({ status: 'succeeded', from_release: expect.any(String) });
    expect(await statuses(d.promotion)).toEqual(['deployed', 'completed']);
    expect(world.version()).toBe('v2');
    const rows = await world.db('deployment_steps').where({ deployment: row.id }).orderBy('ordinal');
    expect(rows.map((r) => `${r.name} ${r.status}`)).toEqual(steps.map((name) => `${stepName[name]} done`));
    expect(await world.db('backups').where({ deployment: row.id })).toHaveLength(1);
    await world.checkEnded(row);

    // Back to v1 by hand, which is itself a deployment without a build.
    world.faults[step] = undefined;
    const back = await world.start(d.promotion, 'rollback');
    await back.handle.result();
    expect(await back.row()).toMatchObject({ status: 'succeeded', trigger: 'rollback', attempt: 2 });
    expect(await statuses(d.promotion)).toEqual(['rolled-back', 'completed']);
    expect(world.version()).toBe('v1');
    const made = await world
      .db('deployment_steps')
      .where({ deployment: (await back.row()).id })
      .orderBy('ordinal');
    expect(made.map((r) => r.name)).toEqual(['backup', 'swap', 'health-check']);
    await world.checkEnded(await back.row());
  });
});

describe('what fails by itself', () => {
  it('a build that exits with 7 touches nothing', async () => {
    const d = await world.deploy('fails');
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringMatching(/exited with 7.*Nothing was touched/),
    });
    const lines = await world.log(row);
    expect(lines.find((line) => line.text === 'the build says no')).toMatchObject({
      step: 'build',
      stream: 'err',
    });
    expect(await world.db('deployment_steps').where({ deployment: row.id })).toHaveLength(1);
    await world.checkEnded(row);
  });
  it('a sick release is swapped back, healthy again, with its data', async () => {
    const d = await world.deploy('sick');
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringMatching(/Unhealthy.*healthy/s),
    });
    expect(world.version()).toBe('v1');
    expect(world.orders()).toBe(orders);
    const rows = await world.db('deployment_steps').where({ deployment: row.id }).orderBy('ordinal');
    expect(rows.map((r) => `${r.name} ${r.status}`)).toEqual([
      'build done',
      'backup done',
      'migrate done',
      'swap done',
      'health-check failed',
      'take-out done',
      'undo-migrate done',
      'undo-swap done',
      'verify-rollback done',
    ]);
    await world.checkEnded(row);
    // Retried as a new attempt; it is still sick.
    const again = await world.start(d.promotion, 'retry');
    await again.handle.result();
    expect(await again.row()).toMatchObject({ status: 'rolled-back', attempt: 2, trigger: 'retry' });
    await world.checkEnded(await again.row());
  });
  it('an undo waits for a step that still acts after it was cancelled', async () => {
    let reached!: () => void;
    const there = new Promise<void>((resolve) => (reached = resolve));
    let wrote = false;
    const d = await deployWith('migrate', async (run) => {
      await run();
      const { cancelled } = Context.current();
      const beat = setInterval(() => Context.current().heartbeat(), 50);
      reached();
      await cancelled.catch(() => undefined);
      // Its process group took a while to die, and wrote once more.
      await sleep(1_000);
      world.addOrder('a late write\n');
      wrote = true;
      clearInterval(beat);
    });
    await there;
    await d.handle.cancel();
    await world.until('the late write', () => wrote);
    await d.handle.result();
    await expectRolledBack(d, /Cancelled from Temporal/);
  });
  it('a cancelled build is killed with its whole group', async () => {
    const promotion = await world.approved('hangs');
    const d = await world.start(promotion);
    await world.until('the build to hang', async () => {
      const row = await d.row();
      return row && (await world.log(row)).some((line) => line.text === 'hanging');
    });
    await d.handle.signal('cancelDeployment', world.cancelOf(d.handle.workflowId));
    await d.handle.result();
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringContaining('Nothing was touched'),
    });
    await world.checkEnded(row);
  });
});
