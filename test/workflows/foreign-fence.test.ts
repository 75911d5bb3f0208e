import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeWorld, type World } from '../helpers/world';

/** A target that holds a higher number than the record ever gave out: another Signalbox acted there, or this one's database is older than it was. */
let world: World;
/** What happens between the record's number and its use. */
let between: (ask: () => Promise<number | undefined>) => Promise<number | undefined> = (ask) => ask();
beforeAll(async () => {
  world = await makeWorld({
    journal: (real) => ({ ...real, fence: (...of) => between(() => real.fence(...of)) }),
  });
});
afterAll(() => world.stop());
afterEach(() => {
  world.faults = {};
  between = (ask) => ask();
});

const room = () => join(world.root('shop'), '.signalbox');
const hold = (fence: number, by: string) => {
  mkdirSync(room(), { recursive: true });
  writeFileSync(join(room(), 'fence.json'), JSON.stringify({ fence, by }));
};
const held = () => (JSON.parse(readFileSync(join(room(), 'fence.json'), 'utf8')) as { fence: number }).fence;
const raises = () => world.db('audit').where({ action: 'target.fence-raised' }).orderBy('id');

it('known to another Signalbox: the first deployment passes its number, and the audit trail says who held it', async () => {
  hold(260, 'CP-90.1 swap');
  const d = await world.deploy('v1');
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v1');
  expect(held()).toBeGreaterThan(260);
  expect(Number((await world.db('targets').where({ name: 'shop' }).first()).fence)).toBe(held());
  const [raise, ...more] = await raises();
  expect(more).toEqual([]);
  expect(raise.subject).toBe('shop');
  expect(raise.entry).toContain('260');
  expect(raise.entry).toContain('CP-90.1 swap');
});

it('its number is still higher when an attempt is undone: the undo passes it too', async () => {
  const live = world.current();
  let seen = 0;
  world.faults.undoSwap = (run) => {
    hold((seen = held() + 5_000), 'CP-91.1 swap');
    return run();
  };
  const d = await world.deploy('sick');
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(world.current()).toBe(live);
  expect(held()).toBeGreaterThan(seen);
});

it('a number that was given out before and comes late is still refused', async () => {
  // A try takes its number and stops; a later try of the same step goes past a number that nobody gave out.
  let first = true;
  let resume!: () => void;
  const stopped = new Promise<void>((resolve) => (resume = resolve));
  const late: Promise<unknown>[] = [];
  world.faults.swap = (run) => {
    if (!first) return run();
    first = false;
    between = async (ask) => {
      between = (again) => again();
      const number = await ask();
      await stopped;
      return number;
    };
    late.push(run().catch((thrown: unknown) => thrown));
    // Its worker is taken for lost.
    throw new Error('no heartbeat');
  };
  const d = await world.start(await world.approved('v2'));
  await world.until('the second try to end', async () => (await d.row())?.status === 'succeeded');
  const after = held();
  hold(after + 1, 'CP-92.1 swap');
  resume();
  expect(String(await late[0])).toMatch(/taken over/);
  expect(held()).toBe(after + 1);
  expect(world.version()).toBe('v2');
  await d.handle.result();
});

it('raised once more by somebody else between the record and the target: it asks again and goes on', async () => {
  let times = 0;
  world.faults.swap = (run) => {
    between = async (ask) => {
      const number = await ask();
      if (++times === 1) hold(held() + 7_000, 'CP-93.1 swap');
      return number;
    };
    return run();
  };
  const d = await world.deploy('v3');
  expect(times).toBe(2);
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect(world.version()).toBe('v3');
});
