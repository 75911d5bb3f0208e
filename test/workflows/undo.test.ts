import { ApplicationFailure } from '@temporalio/activity';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Activities } from '../../activities';
import { makeWorld, type Fault, type World } from '../helpers/world';

/** The saga sweep, going back: each undo runs twice, fails once, fails always; then an SRE decides. */
let world: World;
const undos = [
  'takeOut',
  'undoMigrate',
  'undoSwap',
  'verifyRollback',
] as const satisfies (keyof Activities)[];
const steps = {
  takeOut: 'take-out',
  undoMigrate: 'undo-migrate',
  undoSwap: 'undo-swap',
  verifyRollback: 'verify-rollback',
};
let orders: string;

beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'fresh'] });
  await world.deploy('v1');
});
afterAll(() => world.stop());
afterEach(() => {
  delete (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier;
});
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
  orders = world.orders();
});

async function rollBackWith(undo: keyof Activities, fault: Fault) {
  world.faults[undo] = fault;
  return world.start(await world.approved('sick'));
}
const once = (before: boolean): { fault: Fault; runs: () => number } => {
  let runs = 0;
  return {
    runs: () => runs,
    fault: async (run) => {
      runs += 1;
      if (before && runs === 1) throw new Error('the disk was away');
      const value = await run();
      if (!before && runs === 1) throw new Error('the report was lost');
      return value;
    },
  };
};
const expectRestored = async (d: Awaited<ReturnType<typeof rollBackWith>>) => {
  const row = await d.row();
  expect(row.status).toBe('rolled-back');
  expect(world.version()).toBe('v1');
  expect(world.orders()).toBe(orders);
  expect((await d.handle.describe()).status.name).toBe('COMPLETED');
  await world.checkEnded(row);
  return row;
};

describe.each(undos)('%s', (undo) => {
  it.each([
    ['runs twice', false],
    ['fails once and is tried again', true],
  ])('%s', async (_name, before) => {
    const { fault, runs } = once(before);
    const d = await rollBackWith(undo, fault);
    await d.handle.result();
    expect(runs()).toBe(2);
    await expectRestored(d);
  });

  it('fails always: rollback-failed with the lane held; retry undoes again', async () => {
    const shop = world.targets.get('shop')!;
    const { undoAlarmSeconds } = shop;
    shop.undoAlarmSeconds = 2;
    // Within the step, so that its row says that it runs.
    (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier = async (name: string) => {
      if (name === `${steps[undo]}/before`) throw new Error('the disk stays away');
    };
    const d = await world.start(await world.approved('sick'));
    const failed = await world.until('the alarm', async () => {
      const row = await d.row();
      return row?.status === 'rollback-failed' && row;
    });
    shop.undoAlarmSeconds = undoAlarmSeconds;
    expect(failed.waiting_for).toMatch(/an SRE.*retry.*accept/);
    expect(failed.waiting_for).not.toMatch(/[.!?]\./);
    // The alarm ended the try: nothing of it reads as if it still ran.
    const tried = await world.db('deployment_steps').where({ deployment: failed.id });
    expect(tried.find(({ name }) => name === steps[undo])).toMatchObject({ status: 'failed' });
    expect(tried.filter(({ status }) => status === 'running')).toEqual([]);
    expect((await world.db('promotions').where({ id: failed.promotion }).first()).status).toBe('executing');

    // The lane is held: the next deployment waits, and says behind whom.
    const next = await world.start(await world.approved('v2'));
    await world.until('the next to wait', async () =>
      (await next.row())?.waiting_for?.includes('position 1'),
    );
    await next.handle.signal('cancelDeployment', world.cancelOf(next.handle.workflowId));
    await next.handle.result();
    expect(await next.row()).toMatchObject({
      status: 'cancelled',
      outcome: expect.stringContaining('had not begun'),
    });

    // A cancel, from wherever, does not skip the undo that is left.
    await d.handle.cancel();
    delete (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier;
    await d.handle.signal(
      'resolveRollback',
      world.resolutionOf(d.handle.workflowId, 'retry', 'the disk is back'),
    );
    await d.handle.result();
    await expectRestored(d);
  });

  it('gives a verdict: rollback-failed at once; accept records what is really there', async () => {
    const d = await rollBackWith(undo, () =>
      Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless')),
    );
    await world.until('the verdict', async () => (await d.row())?.status === 'rollback-failed');
    await d.handle.signal(
      'resolveRollback',
      world.resolutionOf(d.handle.workflowId, 'accept', 'we live with it'),
    );
    await d.handle.result();
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringMatching(/sven accepted.*we live with it\. Current: /s),
    });
    // Before it was taken out the sick release runs; then nothing, until the old one is back. The record says so.
    expect(world.current()).toBe(
      undo === 'takeOut' ? row.to_release : undo === 'verifyRollback' ? row.from_release : null,
    );
    await world.checkEnded(row);
    delete world.faults[undo];
    await world.deploy('v1');
    orders = world.orders();
  });
});

it('undoing the first deployment of a target means no release, and says so', async () => {
  const promotion = await world.approved('sick', 'fresh');
  const d = await world.start(promotion);
  await d.handle.result();
  const row = await d.row();
  expect(row).toMatchObject({ status: 'rolled-back', from_release: null });
  expect(row.outcome).toContain('first deployment');
  expect(existsSync(join(world.root('fresh'), 'current'))).toBe(false);
  const details = (await world.db('deployment_steps').where({ deployment: row.id })).map(
    (s) => s.detail as string,
  );
  expect(details.some((text) => text.includes('no release was current before'))).toBe(true);
  await world.checkEnded(row);
});

it('data that a migration changed is left alone where the policy says so', async () => {
  const { migrate } = world.targets.get('shop')!;
  migrate!.restoreDataOnRollback = false;
  try {
    const d = await world.deploy('sick');
    expect(await d.row()).toMatchObject({ status: 'rolled-back' });
    expect(world.orders()).toBe(`${orders}migrated to sick\n`);
  } finally {
    migrate!.restoreDataOnRollback = true;
  }
});

it('live writes survive a rollback where no migration had begun', async () => {
  world.faults.swap = async () => {
    world.addOrder('an order that came in meanwhile\n');
    return Promise.reject(ApplicationFailure.nonRetryable('no swap', 'Broke'));
  };
  world.faults.migrate = () => Promise.resolve();
  const d = await world.start(await world.approved('v2'));
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(world.orders()).toContain('an order that came in meanwhile');
});

it.each([true, false])(
  'driver.root was edited after the swap (data goes back: %s): nobody else switched it, and nothing is called undone elsewhere',
  async (restores) => {
    const shop = world.targets.get('shop')!;
    const { root } = shop.driver;
    shop.migrate!.restoreDataOnRollback = restores;
    world.faults.healthCheck = () => {
      shop.driver.root = join(world.folder, 'elsewhere');
      return Promise.reject(ApplicationFailure.nonRetryable('no answer', 'Unhealthy'));
    };
    try {
      const d = await world.start(await world.approved('v2'));
      const failed = await world.until('it to stop', async () => {
        const row = await d.row();
        return ['rollback-failed', 'rolled-back'].includes(row?.status) && row;
      });
      expect(failed.status).toBe('rollback-failed');
      expect(failed.waiting_for).toContain('driver.root');
      expect(failed.waiting_for).not.toContain('somebody else');
      expect(world.version()).toBe('v2');
      shop.driver.root = root;
      await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'retry', 'put back'));
      await d.handle.result();
      expect(await d.row()).toMatchObject({ status: 'rolled-back' });
      expect(world.version()).toBe('v1');
      const undo = await world
        .db('deployment_steps')
        .where({ deployment: failed.id, name: 'undo-swap' })
        .first();
      expect(undo.detail).toMatch(/is current/);
      // It had been taken out: that is no "before".
      expect(undo.detail).not.toContain('no release');
    } finally {
      shop.driver.root = root;
      shop.migrate!.restoreDataOnRollback = true;
    }
  },
);

it('what never acted says so once', async () => {
  world.faults.migrate = () =>
    Promise.reject(ApplicationFailure.nonRetryable('It was refused. Nothing was changed.', 'Hopeless'));
  const d = await world.deploy('v2', 'fresh');
  const { id, outcome } = await d.row();
  expect(outcome).toBe('It was refused. Nothing was changed.');
  const undo = await world.db('deployment_steps').where({ deployment: id, name: 'undo-swap' }).first();
  expect(undo.detail).toBe('the swap had not begun; nothing was switched');
});
