import { mkdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Activities } from '../../activities';
import { makeWorld, type World } from '../helpers/world';

/** An undo returns to what was live, and not to what the record believed; what somebody else put there is theirs. */
let world: World;
const unseen = ['swap', 'lost-swap', 'undo', 'believed'].map((which) => `unseen-${which}`);
const targets = ['shop', 'absolute', 'relative', 'folder', 'nowhere', 'drift', 'late', ...unseen];
beforeAll(async () => {
  world = await makeWorld({ targets });
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

const link = (target: string) => readlinkSync(join(world.root(target), 'current'));
/** As an operator does it, past Signalbox. */
function byHand(target: string, to: string) {
  mkdirSync(world.root(target), { recursive: true });
  symlinkSync(to, join(world.root(target), 'by-hand'));
  renameSync(join(world.root(target), 'by-hand'), join(world.root(target), 'current'));
}
/** A release that another tool made. */
function elsewhere(target: string, name: string): string {
  const folder = join(world.folder, 'elsewhere', target, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'version.txt'), `${name}\n`);
  return folder;
}
const releaseOf = async (promotion: number) =>
  (await world.db('deployments').where({ promotion }).first()).to_release as string;
const recorded = (target: string) =>
  world
    .db('targets')
    .leftJoin('deployments', 'deployments.id', 'targets.current_deployment')
    .where('targets.name', target)
    .first('promotion', 'to_release', 'targets.observed');

it('an older release that was put back by hand is what it returns to, and what the record says then', async () => {
  const first = await world.deploy('v1');
  await world.deploy('v2');
  byHand('shop', join('releases', await releaseOf(first.promotion)));
  const d = await world.deploy('sick');
  expect(world.version()).toBe('v1');
  const row = await d.row();
  expect(row).toMatchObject({
    status: 'rolled-back',
    from_release: await releaseOf(first.promotion),
    outcome: expect.stringContaining('the release from before is current again and healthy.'),
  });
  expect(await recorded('shop')).toMatchObject({ promotion: first.promotion });
  await world.checkEnded(row);
  // What was deployed over it returns to it by hand, too.
  const third = await world.deploy('v3');
  await (await world.start(third.promotion, 'rollback')).handle.result();
  expect(world.version()).toBe('v1');
});

it.each([
  ['absolute', (target: string) => elsewhere(target, 'v0')],
  ['relative', (target: string) => join('..', 'elsewhere', target, 'v0')],
])("another tool's release is put back as it was: %s", async (target, linkOf) => {
  elsewhere(target, 'v0');
  const before = linkOf(target);
  byHand(target, before);
  const d = await world.deploy('sick', target);
  expect(link(target)).toBe(before);
  expect(world.version(target)).toBe('v0');
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    from_release: null,
    outcome: expect.stringMatching(/v0.*not a release of Signalbox.*checked without a version/),
  });
  expect(await recorded(target)).toMatchObject({
    promotion: null,
    observed: { kind: 'foreign', link: before },
  });
  // It is no obstacle to the next one.
  expect(await (await world.deploy('v1', target)).row()).toMatchObject({ status: 'succeeded' });
});

it.each([
  [
    'folder',
    () => mkdirSync(join(world.root('folder'), 'current'), { recursive: true }),
    /Move it elsewhere/,
  ],
  ['nowhere', () => byHand('nowhere', 'releases/gone'), /Point it at what is to be live, or remove it/],
] as const)(
  'what could not be put back is refused before anything is touched: %s',
  async (target, make, remedy) => {
    make();
    const orders = world.orders(target);
    const d = await world.deploy('v1', target);
    const row = await d.row();
    expect(row).toMatchObject({ status: 'rolled-back', migration_began: false });
    expect(row.outcome).toMatch(remedy);
    expect(world.orders(target)).toBe(orders);
    expect(await recorded(target)).toMatchObject({ promotion: null });
    rmSync(join(world.root(target), 'current'), { recursive: true });
    expect(await (await world.deploy('v1', target)).row()).toMatchObject({ status: 'succeeded' });
  },
);

/** Data is behind it, so that a person is asked; then what is live stays. */
async function acceptedAfter(revision: string, target: string) {
  const d = await deployed(revision, target);
  const { waiting_for: asked, owner } = await d.row();
  const handle = world.client.workflow.getHandle(owner);
  await handle.signal('resolveRollback', world.resolutionOf(owner, 'accept'));
  await handle.result();
  return { asked, row: await d.row() };
}

it('switched by somebody else before the swap: nothing is switched, and theirs is left', async () => {
  const first = await world.deploy('v1', 'drift');
  await world.deploy('v2', 'drift');
  world.faults.swap = (run) => {
    byHand('drift', join('releases', old));
    return run();
  };
  const old = await releaseOf(first.promotion);
  const { asked, row } = await acceptedAfter('v3', 'drift');
  expect(world.version('drift')).toBe('v1');
  expect(asked).toMatch(/Drifted: .*nothing was taken out and no data was restored/);
  expect(row).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(/^Drifted: .*nothing was switched\. .*accepted.*Current: release/s),
  });
  expect(await recorded('drift')).toMatchObject({ promotion: first.promotion });
  await world.checkEnded(row);
  // What was written beneath theirs would be lost with it.
  expect(world.orders('drift')).toContain('v3');
});

it('switched by somebody else after the swap: theirs is left, and the record says so', async () => {
  await world.deploy('v1', 'late');
  const theirs = elsewhere('late', 'hot-fix');
  world.faults.healthCheck = (run) => {
    byHand('late', theirs);
    return run();
  };
  const { row } = await acceptedAfter('v2', 'late');
  expect(link('late')).toBe(theirs);
  expect(row).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(/accepted.*Current: .*hot-fix/s),
  });
  expect(await recorded('late')).toMatchObject({
    promotion: null,
    observed: { kind: 'foreign', link: theirs },
  });
});

/** What a worker from before observation leaves: the switch in the target's journal, and nothing in the record. */
const forget = (target: string) =>
  world
    .db('deployments')
    .where({ target })
    .whereNotIn('status', ['succeeded', 'rolled-back'])
    .update({ observed: null });

/** Deploys to its end, or until a person has to decide. */
async function deployed(revision: string, target: string) {
  const d = await world.start(await world.approved(revision, target));
  await world.until('it to end', async () =>
    ['succeeded', 'rolled-back', 'rollback-failed'].includes((await d.row())?.status),
  );
  return d;
}

// Each on a target of its own: a rollback that fails holds its lane.
it.each([
  ['swap', 'unseen-swap'],
  ['swap that was lost', 'unseen-lost-swap'],
  ['undoSwap', 'unseen-undo'],
] as const)(
  'what an older worker did without looking is undone like any other: %s',
  async (which, target) => {
    await world.deploy('v1', target);
    let times = 0;
    world.faults[which === 'undoSwap' ? 'undoSwap' : 'swap'] = async (run) => {
      const done = await run();
      times += 1;
      await forget(target);
      if (which === 'swap that was lost' && times === 1) throw new Error('the worker was killed');
      return done;
    };
    const d = await deployed('sick', target);
    expect(times).toBe(which === 'swap that was lost' ? 2 : 1);
    expect(world.version(target)).toBe('v1');
    const row = await d.row();
    expect(row).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringContaining('the release from before is current again and healthy.'),
    });
    await world.checkEnded(row);
  },
);

it('and it returns to what was live, also where the record believed in another release', async () => {
  const target = 'unseen-believed';
  const first = await world.deploy('v1', target);
  await world.deploy('v2', target);
  byHand(target, join('releases', await releaseOf(first.promotion)));
  world.faults.swap = (run) => run().finally(() => forget(target));
  const d = await deployed('sick', target);
  expect(world.version(target)).toBe('v1');
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(await recorded(target)).toMatchObject({ promotion: first.promotion });
});
