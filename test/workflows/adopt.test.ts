import { ApplicationFailure } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Activities } from '../../activities';
import { findAdoption } from '../../db/adoptions';
import { databaseNow } from '../../db/clock';
import { viewTarget } from '../../db/targets';
import { controlQueue } from '../../temporal-config/names';
import { adoptWorkflowId } from '../../workflows/messages';
import { hidesFromHooks } from '../helpers/sandboxes';
import { makeWorld, type World } from '../helpers/world';

/** What is live is taken into the record, whoever put it there. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({
    targets: ['shop', 'folder', 'hand', 'busy', 'back', 'accepted', 'foreign', 'left', 'lost'],
  });
});
afterAll(() => world.stop());
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});

async function adopt(target: string, by = 'sven') {
  const id = randomUUID();
  const workflowId = adoptWorkflowId(target, id);
  const request = world.keyring.sign('adopt', workflowId, { id, target, by, reason: 'it moved here' });
  await world.client.workflow.execute('adoptTarget', {
    workflowId,
    taskQueue: controlQueue,
    args: [request],
  });
  return (await findAdoption(world.db, id))!;
}
const link = (target: string) => readlinkSync(join(world.root(target), 'current'));
const view = async (target: string) =>
  viewTarget(
    world.db,
    world.targets.get(target)!,
    await world.deps.windows.current(),
    await databaseNow(world.db),
  );
/** A release that another tool made, live. */
function moved(target: string): string {
  const folder = join(world.folder, 'elsewhere', target);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'version.txt'), 'v0\n', { mode: 0o600 });
  mkdirSync(world.root(target), { recursive: true });
  symlinkSync(folder, join(world.root(target), 'current'));
  return folder;
}

it("another tool's release becomes one of Signalbox, and is what a rollback returns to", async () => {
  const folder = moved('shop');
  const shop = world.targets.get('shop')!;
  const reload = { argv: ['sh', '-c', 'ls "$0" >seen', world.deps.stateDir], timeoutSeconds: 10 };
  const driver = { ...shop.driver, reload } as typeof shop.driver;
  world.targets = new Map([...world.targets, ['shop', { ...shop, driver }]]);
  expect(await adopt('shop')).toMatchObject({ adopted: true });
  // What it runs on the target sees as little as in a deployment.
  const seen = readFileSync(join(world.root('shop'), 'seen'), 'utf8');
  expect(seen === '').toBe(hidesFromHooks);
  expect(link('shop')).toMatch(/^releases\/[0-9a-f]{64}$/);
  expect(world.version()).toBe('v0');
  // What it was is left as it was.
  expect(readFileSync(join(folder, 'version.txt'), 'utf8')).toBe('v0\n');
  expect(lstatSync(join(folder, 'version.txt')).mode & 0o777).toBe(0o600);
  expect(await view('shop')).toMatchObject({
    current: null,
    observed: { what: `release ${world.current()!.slice(0, 12)}`, why: 'no promotion put it there' },
  });
  const [entry] = await world.db('audit').where({ action: 'target.adopted', subject: 'shop' });
  expect(JSON.parse(entry.entry as string)).toMatchObject({ actor: 'sven', why: 'it moved here' });
  const adopted = link('shop');
  const d = await world.deploy('sick');
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(link('shop')).toBe(adopted);
});

async function rolledBack(promotion: number) {
  const d = await world.start(promotion, 'rollback');
  await d.handle.result();
  return d.row();
}

it('rolling back by hand returns to what was adopted, also once that was tried before', async () => {
  moved('back');
  await adopt('back');
  const adopted = link('back');
  const d = await world.deploy('v1', 'back');
  expect(world.version('back')).toBe('v1');
  world.faults.healthCheck = () => Promise.reject(ApplicationFailure.nonRetryable('too slow', 'Unhealthy'));
  expect(await rolledBack(d.promotion)).toMatchObject({ status: 'rolled-back' });
  expect(world.version('back')).toBe('v1');
  delete world.faults.healthCheck;
  const row = await rolledBack(d.promotion);
  expect(row).toMatchObject({ status: 'succeeded', restores: null });
  expect(link('back')).toBe(adopted);
  expect((await world.db('promotions').where({ id: d.promotion }).first()).status).toBe('rolled-back');
  // No promotion put it there; what is deployed over it returns to it again.
  expect(await view('back')).toMatchObject({ current: null, observed: { why: 'no promotion put it there' } });
  const next = await world.deploy('v2', 'back');
  expect((await next.row()).from_deployment).toBeNull();
  expect(await rolledBack(next.promotion)).toMatchObject({ status: 'succeeded' });
  expect(link('back')).toBe(adopted);
});

it('a failed rollback that was accepted can still be rolled back to what was adopted', async () => {
  moved('accepted');
  await adopt('accepted');
  const adopted = link('accepted');
  world.faults.undoSwap = () =>
    Promise.reject(ApplicationFailure.nonRetryable('the disk is away', 'Hopeless'));
  world.faults.healthCheck = () => Promise.reject(ApplicationFailure.nonRetryable('too slow', 'Unhealthy'));
  const promotion = await world.approved('v1', 'accepted');
  const d = await world.start(promotion);
  await world.until('its rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  delete world.faults.undoSwap;
  delete world.faults.healthCheck;
  await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'accept'));
  await d.handle.result();
  expect(await rolledBack(promotion)).toMatchObject({ status: 'succeeded' });
  expect(link('accepted')).toBe(adopted);
});

it('the companion: what was never adopted is named, with how to bring it back', async () => {
  const folder = moved('foreign');
  const d = await world.deploy('v1', 'foreign');
  expect(await rolledBack(d.promotion)).toMatchObject({
    status: 'refused',
    outcome_code: 'nothing-to-return-to',
    outcome: expect.stringContaining(`foreign ran ${folder} (not a release of Signalbox)`),
  });
});

it('a release that was switched to by hand is recorded as it is', async () => {
  const first = await world.deploy('v1', 'hand');
  await world.deploy('v2', 'hand');
  const old = (await first.row()).to_release!;
  const { renameSync } = await import('node:fs');
  symlinkSync(join('releases', old), join(world.root('hand'), 'by-hand'));
  renameSync(join(world.root('hand'), 'by-hand'), join(world.root('hand'), 'current'));
  expect(await adopt('hand')).toMatchObject({ adopted: true });
  expect(await view('hand')).toMatchObject({ current: { revision: 'v1' }, observed: null });
});

describe('a release of another state directory, which is gone with its archives', () => {
  const archives = (target: string) => join(world.deps.stateDir, 'artifacts', target);

  it('is packed from where it is live, and is what a rollback by hand returns to', async () => {
    const first = await world.deploy('v1', 'left');
    rmSync(archives('left'), { recursive: true });
    expect(await adopt('left')).toMatchObject({ adopted: true });
    const { to_release } = await first.row();
    expect(readdirSync(archives('left'))).toContain(`${to_release}.tar`);
    // Its folder may be removed with the old ones.
    const second = await world.deploy('v2', 'left');
    rmSync(join(world.root('left'), 'releases', to_release!), { recursive: true });
    expect(await rolledBack(second.promotion)).toMatchObject({ status: 'succeeded' });
    expect(world.version('left')).toBe('v1');
  });

  it('is packed also where nobody adopted it', async () => {
    const d = await world.deploy('v2', 'left');
    rmSync(archives('left'), { recursive: true });
    expect(await rolledBack(d.promotion)).toMatchObject({ status: 'succeeded' });
    expect(world.version('left')).toBe('v1');
  });

  it('and was changed since: nothing could bring it back, so that it is refused with what to do', async () => {
    await world.deploy('v1', 'lost');
    rmSync(archives('lost'), { recursive: true });
    writeFileSync(join(world.root('lost'), 'current', 'version.txt'), 'v1, and something else\n');
    const live = link('lost');
    expect(await adopt('lost')).toMatchObject({
      adopted: false,
      outcome: expect.stringMatching(
        /was changed since it was unpacked.*artifacts\/lost.*Put its archive back/,
      ),
    });
    const d = await world.deploy('v2', 'lost');
    expect(await d.row()).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringMatching(/Nothing was touched/),
    });
    expect(link('lost')).toBe(live);
    expect(world.version('lost')).toBe('v1, and something else');
  });
});

it('what could not be put back is refused, with what to do', async () => {
  mkdirSync(join(world.root('folder'), 'current'), { recursive: true });
  expect(await adopt('folder')).toMatchObject({
    adopted: false,
    outcome: expect.stringMatching(/Nothing was adopted.*a folder and not a link.*Move it elsewhere/),
  });
});

it('whoever may not adopt does not', async () => {
  expect(await adopt('folder', 'carla')).toMatchObject({
    adopted: false,
    outcome: expect.stringContaining('sre'),
  });
});

it('nothing is recorded beside a deployment, nor when one began meanwhile', async () => {
  moved('busy');
  let go!: () => void;
  const gone = new Promise<void>((resolve) => (go = resolve));
  world.faults.build = async (run) => {
    await gone;
    return run();
  };
  const d = await world.start(await world.approved('v1', 'busy'));
  await world.until('it to run', async () => (await d.row())?.status === 'running');
  expect(await adopt('busy')).toMatchObject({
    adopted: false,
    outcome: expect.stringMatching(/CP-\d+\.1 is running on busy/),
  });
  go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  // It packs while one begins and ends.
  delete world.faults.build;
  world.faults.adoptLive = async (run) => {
    const found = await run();
    await world.deploy('v2', 'busy');
    return found;
  };
  expect(await adopt('busy')).toMatchObject({
    adopted: false,
    outcome: expect.stringContaining('A deployment acted on busy meanwhile'),
  });
  expect((await view('busy')).current).toMatchObject({ revision: 'v2' });
});
