import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gate } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** What a deployment has left is tidied when its lane is free already: by then the next one has the target. */
let world: World;
beforeAll(async () => {
  world = await makeWorld();
  const shop = world.targets.get('shop')!;
  world.targets = new Map([['shop', { ...shop, driver: { ...shop.driver, keepReleases: 1 } }]]);
});
afterAll(() => world.stop());

const barrier = globalThis as { signalboxBarrier?: (name: string) => Promise<void> };
const holds: (() => void)[] = [];
afterEach(() => {
  delete barrier.signalboxBarrier;
  for (const open of holds.splice(0)) open();
});
/** Holds whoever comes to a failpoint first. */
function holdAt(point: string) {
  const reached = gate();
  const held = gate();
  const before = barrier.signalboxBarrier;
  holds.push(held.open);
  let first = true;
  barrier.signalboxBarrier = async (name) => {
    await before?.(name);
    if (name !== point || !first) return;
    first = false;
    reached.open();
    await held.opened;
  };
  return { reached: reached.opened, open: held.open };
}
const isThere = (release: string) => existsSync(join(world.root('shop'), 'releases', release, 'version.txt'));

it.each([
  // The release may be needed, but nothing has acted on the target yet.
  ['before it knows who is next', 'tidy/before', 'migrate/asked'],
  // It knows of nobody who needs the release: only the number that the next one notes stops it.
  ['when it is about to remove old releases', 'tidy/prune', 'migrate/middle'],
])('one that was paused %s removes nothing that the next one needs', async (_when, paused, next) => {
  await world.deploy('v1');
  const release = world.current()!;
  await world.deploy('v2');
  const tidying = holdAt(paused);
  const third = await world.start(await world.approved('v3'));
  await tidying.reached;
  const deploying = holdAt(next);
  const again = await world.start(await world.approved('v1'));
  await deploying.reached;
  expect(isThere(release)).toBe(true);
  // By its time alone it would stay, because it has just been looked at.
  mkdirSync(join(world.root('shop'), 'releases', 'f'.repeat(64)), { recursive: true });
  tidying.open();
  await third.handle.result();
  expect(isThere(release)).toBe(true);
  rmSync(join(world.root('shop'), 'releases', 'f'.repeat(64)), { recursive: true, force: true });
  deploying.open();
  await again.handle.result();
  expect(await again.row()).toMatchObject({ status: 'succeeded', to_release: release });
  expect(world.version()).toBe('v1');
});
