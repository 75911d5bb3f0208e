import { ApplicationFailure } from '@temporalio/activity';
import type { Activities } from '../../activities';
import { restoreByHand } from '../../activities/backups/by-hand';
import { findBackup } from '../../db/backups';
import { makeWorld, type World } from '../helpers/world';

/** No state without a door: what docs/runbook.md says can be done, done. */
let world: World;
beforeAll(async () => {
  world = await makeWorld();
  await world.deploy('v1');
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

/** A deployment whose rollback has failed in this undo. */
async function failedIn(undo: 'takeOut' | 'undoMigrate' | 'undoSwap', revision = 'sick') {
  world.faults[undo] = () => Promise.reject(ApplicationFailure.nonRetryable('the disk is away', 'Hopeless'));
  if (revision !== 'sick')
    world.faults.healthCheck = () => Promise.reject(ApplicationFailure.nonRetryable('too slow', 'Unhealthy'));
  const promotion = await world.approved(revision);
  const d = await world.start(promotion);
  await world.until('its rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  delete world.faults[undo];
  delete world.faults.healthCheck;
  const resolve = async (action: 'retry' | 'accept') => {
    await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, action));
    await d.handle.result();
    const row = await d.row();
    await world.checkEnded(row);
    return row;
  };
  return { ...d, promotion, resolve };
}
async function ends(promotion: number, trigger: 'retry' | 'rollback', version: string) {
  const d = await world.start(promotion, trigger);
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe(version);
  await world.checkEnded(await d.row());
}
const statusOf = async (promotion: number) =>
  (await world.db('promotions').where({ id: promotion }).first()).status as string;

it('rollback-failed: data can be put back by hand, and retry then finishes', async () => {
  const orders = world.orders();
  const d = await failedIn('undoMigrate');
  expect(world.orders()).not.toBe(orders);
  expect(world.current()).toBeNull();
  const { promotion, attempt } = await d.row();
  await restoreByHand({
    db: world.db,
    target: world.targets.get('shop')!,
    backup: (await findBackup(world.db, promotion, attempt))!,
    stateDir: world.deps.stateDir,
    by: 'sven',
    reason: 'the disk was away',
    say: () => undefined,
  });
  expect(world.orders()).toBe(orders);
  expect(await d.resolve('retry')).toMatchObject({ status: 'rolled-back' });
  expect([world.version(), world.orders()]).toEqual(['v1', orders]);
});

it('accepted with the new release live: rolling it back returns to the one before', async () => {
  const d = await failedIn('takeOut', 'v2');
  expect((await d.resolve('accept')).outcome).toContain('Current: release');
  expect(world.version()).toBe('v2');
  await ends(d.promotion, 'rollback', 'v1');
  expect(await statusOf(d.promotion)).toBe('rolled-back');
});

it('accepted with the new release live: retrying it makes it the deployed one', async () => {
  const d = await failedIn('takeOut', 'v2');
  await d.resolve('accept');
  await ends(d.promotion, 'retry', 'v2');
  expect(await statusOf(d.promotion)).toBe('deployed');
  await ends(d.promotion, 'rollback', 'v1');
});

it.each([
  ['rollback', 'v1'],
  ['retry', 'v2'],
] as const)('accepted with nothing live: %s makes %s live', async (trigger, version) => {
  const d = await failedIn('undoSwap', 'v2');
  expect((await d.resolve('accept')).outcome).toContain('Current: no release.');
  expect(world.current()).toBeNull();
  await ends(d.promotion, trigger, version);
  if (version === 'v2') await ends(d.promotion, 'rollback', 'v1');
});

it('accepted with nothing live, and going back fails too: it can be tried again', async () => {
  const d = await failedIn('undoSwap', 'v2');
  await d.resolve('accept');
  world.faults.swap = () => Promise.reject(ApplicationFailure.nonRetryable('the disk is away', 'Hopeless'));
  const back = await world.start(d.promotion, 'rollback');
  await back.handle.result();
  expect(await back.row()).toMatchObject({ status: 'rolled-back' });
  delete world.faults.swap;
  await ends(d.promotion, 'rollback', 'v1');
});
