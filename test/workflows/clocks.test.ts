import { MockActivityEnvironment } from '@temporalio/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { createActivities, type Activities } from '../../activities';
import { findChangeRequest } from '../../db/change-requests';
import type { DeploymentRow } from '../../db/deployments';
import { addWindow, removeWindow } from '../../db/windows';
import { defaultChain } from '../../domain/approval';
import { controlQueue } from '../../temporal-config/names';
import { changeRequestWorkflowId } from '../../workflows/messages';
import { putClockOff } from '../helpers/clock.cjs';
import { makeWorld, type World } from '../helpers/world';

/**
 * One clock judges windows and deadlines, the database's. A worker's own clock and Temporal's may be wrong by any amount:
 * the first decides nothing, the second only when somebody looks again.
 */
const hour = 3_600_000;
const minute = 60_000;
const by = { by: 'rosa' };
let world: World;
let setRight: () => void = () => undefined;
const windows: number[] = [];
beforeAll(async () => {
  world = await makeWorld();
  // Functions of the catalogue come after these only where the path says so.
  await world.owner.raw(`CREATE SCHEMA skew;
    CREATE TABLE skew.by AS SELECT interval '0' AS amount;
    CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
      'SELECT pg_catalog.clock_timestamp() + amount FROM skew.by';
    GRANT USAGE ON SCHEMA skew TO PUBLIC; GRANT SELECT ON skew.by TO PUBLIC;
    DO 'BEGIN EXECUTE format(''ALTER DATABASE %I SET search_path = skew, pg_catalog, public'', current_database()); END'`);
  // Sessions that are open already keep the path that they began with.
  await world.db.destroy();
  world.db.initialize();
});
afterAll(() => world.stop());
afterEach(async () => {
  setRight();
  setRight = () => undefined;
  await putDatabaseOff(0);
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
  for (const id of windows.splice(0)) await removeWindow(world.db, id, by, undefined);
});
const putDatabaseOff = (ms: number) =>
  world.owner.raw(`UPDATE skew.by SET amount = ? * interval '1 millisecond'`, [ms]);

/** A window in which alone is deployed. @param from minutes from now, from the full minute. */
async function openFrom(from: number, durationMinutes = 30): Promise<void> {
  const start = new Date(Date.now() + from * minute).toISOString().slice(0, 16);
  const window = { name: `from ${start}`, kind: 'allow' as const, scope: {}, timeZone: 'UTC' };
  windows.push((await addWindow(world.db, { ...window, start, durationMinutes }, by))!);
}
type Started = Awaited<ReturnType<World['start']>>;
const eventsOf = async (handle: { fetchHistory(): Promise<unknown> }) =>
  (
    (await handle.fetchHistory()) as {
      events: {
        timerStartedEventAttributes?: {
          startToFireTimeout?: { seconds?: unknown };
        };
      }[];
    }
  ).events;
const asleep = async () => {
  const d = await world.start(await world.approved('v1'), 'deploy', { whenOpen: true });
  await world.until('it to sleep', async () => {
    const status = ((await d.row()) as DeploymentRow | undefined)?.status;
    if (status && !['queued', 'waiting-for-window'].includes(status)) throw new Error(`it is ${status}`);
    return status === 'waiting-for-window';
  });
  return d;
};
const timersOf = async (d: Started) =>
  (await eventsOf(d.handle)).flatMap(({ timerStartedEventAttributes: timer }) =>
    timer ? [Number(timer.startToFireTimeout?.seconds ?? 0)] : [],
  );
const cancelled = async (d: Started) => {
  await d.handle.cancel();
  await d.handle.result();
};
const deployed = (d: Started) =>
  world.until('it to be deployed', async () => (await d.row())?.status === 'succeeded');
const reconciled = (): Promise<string[]> =>
  world.client.workflow.execute('reconcile', {
    taskQueue: controlQueue,
    workflowId: `reconcile-${Math.random()}`,
  });

describe('a sleeper', () => {
  it.each([
    ['ahead', hour],
    ['behind', -hour],
  ])(
    'does not pass a closed window, nor sleeps longer, on a worker whose clock is %s',
    async (_what, off) => {
      await openFrom(45);
      setRight = putClockOff(off);
      const d = await asleep();
      const [seconds] = await world.until('its timer', async () => {
        const timers = await timersOf(d);
        return timers.length > 0 ? timers : undefined;
      });
      expect(seconds).toBeGreaterThan(43 * 60);
      expect(seconds).toBeLessThanOrEqual(45 * 60);
      await cancelled(d);
    },
  );

  it('passes a window that is open on a worker whose clock is behind', async () => {
    await openFrom(-10);
    setRight = putClockOff(-hour);
    await deployed(await world.start(await world.approved('v1'), 'deploy', { whenOpen: true }));
  });

  it("does not spin while Temporal's clock says that the time has come and the database's does not", async () => {
    await openFrom(0);
    // Eight seconds before it opens.
    const opened = Math.floor(Date.now() / minute) * minute;
    await putDatabaseOff(opened - 8_000 - Date.now());
    const d = await asleep();
    await sleep(6_000);
    const before = (await eventsOf(d.handle)).length;
    await deployed(d);
    expect(before).toBeLessThan(25);
  });

  it('whose timer fires early all the same sets it again for a second, then for longer', async () => {
    await openFrom(45);
    const asked: number[] = [];
    const d = await asleep();
    // As where the database's clock is set back again and again.
    const until = Date.now() - 1_000;
    world.faults.acquireLane = () => {
      asked.push(performance.now());
      return Promise.resolve({ kind: 'asleep', until, left: -1_000, why: 'the clocks differ' });
    };
    await d.handle.signal('windowChanged');
    await world.until('it to ask four times', () => asked.length >= 4);
    const pauses = asked.slice(1, 4).map((at, n) => at - asked[n]!);
    // The first timer, then those after it fired early.
    for (const [n, least] of [900, 900, 1_900].entries()) expect(pauses[n]).toBeGreaterThan(least);
    delete world.faults.acquireLane;
    await cancelled(d);
  });

  it('that sleeps on, because a clock was wrong when its timer was set, is woken by reconcile', async () => {
    await openFrom(-10);
    await putDatabaseOff(-hour);
    const d = await asleep();
    await putDatabaseOff(0);
    expect((await reconciled()).join()).toContain('because it slept on');
    await deployed(d);
  });
});

it("what holds before its migration is held, and given up, by the database's clock", async () => {
  const shop = world.targets.get('shop')!;
  world.targets = new Map([['shop', { ...shop, windowHoldSeconds: 4 }]]);
  await openFrom(-10);
  world.faults.backup = async (run) => {
    await run();
    // By the database it has closed by now; by the worker, and by Temporal, it has not.
    await putDatabaseOff(hour);
    setRight = putClockOff(-7 * minute);
  };
  const d = await world.start(await world.approved('v2'));
  const { waiting_for: why } = await world.until('it to hold', async () => {
    const row = await d.row();
    return row?.waiting_for?.includes('held before the migration') ? row : undefined;
  });
  const deadline = /still closed at (\S+) (\S+) UTC/.exec(why!)!;
  const byDatabase = performance.timeOrigin + performance.now() + hour;
  expect(Math.abs(Date.parse(`${deadline[1]}T${deadline[2]}Z`) - byDatabase)).toBeLessThan(5 * minute);
  await d.handle.result();
  world.targets = new Map([['shop', shop]]);
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('still closed at the deadline'),
  });
  expect(world.version()).not.toBe('v2');
});

it('what holds on beyond its deadline, because a clock was wrong when its timer was set, is given up', async () => {
  await openFrom(-10);
  world.faults.backup = async (run) => {
    await run();
    await putDatabaseOff(hour);
  };
  const d = await world.start(await world.approved('v2'));
  await world.until('it to hold', async () => (await d.row())?.waiting_for?.includes('held before'));
  // Its window never opens again; its timer is set for an hour by Temporal's clock.
  await putDatabaseOff(3 * hour);
  expect((await reconciled()).join()).toContain('because it slept on');
  await d.handle.result();
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('still closed at the deadline'),
  });
});

describe('a change request', () => {
  /** One that expires an hour after it was asked for, or seconds from now. */
  async function submitted(inSeconds?: number) {
    const shop = world.targets.get('shop')!;
    shop.approval = [{ levels: [...defaultChain] as never, expireHours: 1 }];
    const id = await world.shipped('v2');
    const workflowId = changeRequestWorkflowId(id, 1, '');
    const handle = await world.client.workflow.start('changeRequest', {
      workflowId,
      taskQueue: controlQueue,
      args: [world.keyring.sign('submit', workflowId, { changeRequest: id, submission: 1, by: 'carla' })],
    });
    await world.until(
      'it to be submitted',
      async () => (await findChangeRequest(world.db, id))?.status === 'submitted',
    );
    if (inSeconds !== undefined) {
      await world
        .db('change_requests')
        .where({ id })
        .update({
          asked_at: world.db.raw(`now() - interval '1 hour' + ? * interval '1 second'`, [inSeconds]),
        });
      await handle.signal('changeRequestMoved');
    }
    return { id, handle, status: async () => (await findChangeRequest(world.db, id))!.status };
  }

  it('expires in time, without spinning, on a worker whose clock is behind', async () => {
    setRight = putClockOff(-hour);
    const request = await submitted(3);
    await sleep(6_000);
    const events = (await eventsOf(request.handle)).length;
    await world.until('it to expire', async () => (await request.status()) === 'rejected', 20_000);
    expect(events).toBeLessThan(60);
  });

  it('does not expire by the clock of a worker that is ahead', async () => {
    const request = await submitted();
    setRight = putClockOff(2 * hour);
    const { changeRequestDue } = createActivities(world.deps);
    const due = () => new MockActivityEnvironment().run(changeRequestDue, request.id, 1);
    await due();
    expect(await request.status()).toBe('submitted');
    await putDatabaseOff(2 * hour);
    await due();
    expect(await request.status()).toBe('rejected');
  });

  it('that sleeps on, because a clock was wrong when its timer was set, is told by reconcile', async () => {
    const request = await submitted();
    await putDatabaseOff(2 * hour);
    expect((await reconciled()).join()).toContain('because it slept on');
    await world.until('it to expire', async () => (await request.status()) === 'rejected');
  });
});

it('a lost workflow is found by a worker whose clock is behind', async () => {
  await openFrom(45);
  const d = await asleep();
  await d.handle.terminate('by hand');
  setRight = putClockOff(-hour);
  await world.owner('deployments').update({ created_at: world.db.raw(`now() - interval '1 minute'`) });
  expect((await reconciled()).join()).toContain('ended as terminated');
  await world.until('it to be settled', async () => (await d.row()).status === 'cancelled');
});

it('a release that is not healthy is undone in time, also where the clock is set back meanwhile', async () => {
  await world.deploy('v1');
  world.faults.healthCheck = async (run) => {
    setTimeout(() => (setRight = putClockOff(-hour)), 200);
    return run();
  };
  const d = await world.start(await world.approved('sick'));
  const began = performance.now();
  await world.until('it to be undone', async () => (await d.row())?.status === 'rolled-back');
  // It would be asked until the step's own limit, a minute after its deadline, ends this try.
  expect(performance.now() - began).toBeLessThan(60_000);
});
