import { existsSync } from 'node:fs';
import { Context } from '@temporalio/activity';
import { controlQueue } from '../../temporal-config/names';
import { makeWorld, type World } from '../helpers/world';

/** Old backups go; those that could be needed stay, however old. */
let world: World;
beforeAll(async () => {
  world = await makeWorld();
});
afterAll(() => world.stop());

const prune = (): Promise<string[]> =>
  world.client.workflow.execute('pruneBackups', {
    taskQueue: controlQueue,
    workflowId: `prune-${Date.now()}`,
  });
const agedBy = (days: number) =>
  world.owner('backups').update({ verified_at: new Date(Date.now() - days * 86_400_000) });
const kept = async () => {
  const rows = await world.db('backups').orderBy('deployment');
  for (const row of rows) expect(existsSync(row.reference)).toBe(row.removed_at === null);
  return rows.map((row) => row.removed_at === null);
};

it('keeps those of what is live, of what it would return to, and the newest one', async () => {
  for (const revision of ['v1', 'v2', 'v3', 'sick', 'sick']) await world.deploy(revision);
  await agedBy(29);
  expect(await prune()).toEqual([]);
  await agedBy(31);
  // v3 is live and v2 before it; the newest one is that of the second sick release.
  const newest = await world.db('backups').max('deployment as id').first();
  await world
    .owner('backups')
    .where({ deployment: newest!.id })
    .update({ verified_at: new Date(Date.now() - 30.5 * 86_400_000) });
  expect(await prune()).toEqual([
    expect.stringMatching(
      /^CP-1\.1: .*CP-1\.1@[0-9a-f]{8}\.backup-1-1-[0-9a-z]+\.tar\.gz, older than 30 days$/,
    ),
    expect.stringMatching(/^CP-4\.1: /),
  ]);
  expect(await kept()).toEqual([false, true, true, false, true]);
  expect(await prune()).toEqual([]);
});

it('leaves that of a deployment that is not over', async () => {
  let reached!: () => void;
  let go!: () => void;
  const there = new Promise<void>((resolve) => (reached = resolve));
  const letGo = new Promise<void>((resolve) => (go = resolve));
  world.faults.swap = async (run) => {
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    reached();
    await letGo.finally(() => clearInterval(beat));
    return run();
  };
  const held = await world.start(await world.approved('v1'));
  await there;
  await world.deps
    .db('backups')
    .where({ deployment: (await held.row()).id })
    .update({ verified_at: new Date(0) });
  await prune();
  expect((await kept()).at(-1)).toBe(true);
  delete world.faults.swap;
  go();
  await held.handle.result();
  expect(await held.row()).toMatchObject({ status: 'succeeded' });
});
