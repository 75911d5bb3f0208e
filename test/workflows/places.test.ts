import { Context } from '@temporalio/activity';
import { createPlaces } from '../../activities/places';
import { viewDeployment } from '../../db/views';
import { gate } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** A worker full of builds still undoes at once, and says what the builds that found no place wait for. */
let world: World;
const others = ['a', 'b', 'c', 'd', 'e'];
const slots = 5;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', ...others], slots });
  await world.deploy('v1');
});
afterAll(() => world.stop());

const buildOf = async (d: Awaited<ReturnType<World['start']>>) => {
  const row = await d.row();
  return row && (await viewDeployment(world.db, row, () => null)).steps.find(({ name }) => name === 'build');
};

it('undoes while builds hang in every slot that they may have', async () => {
  const there = gate();
  const go = gate();
  world.faults.healthCheck = async (run) => {
    there.open();
    const beat = setInterval(() => Context.current().heartbeat(), 50);
    await go.opened.finally(() => clearInterval(beat));
    return run();
  };
  const sick = await world.start(await world.approved('sick'));
  await there.opened;
  const builds = await Promise.all(
    others.map(async (target) => world.start(await world.approved('hangs', target))),
  );
  const hanging = () =>
    world
      .db('deployment_log')
      .where({ text: 'hanging' })
      .countDistinct('deployment as count')
      .first()
      .then((row) => Number(row!.count));
  await world.until('the builds to fill the worker', async () => (await hanging()) >= 3);
  // Each has been handed to the worker, or waits for a slot.
  await world.until('each build to be asked for', async () => {
    const found = await Promise.all(builds.map(async ({ handle }) => (await handle.describe()).raw));
    return found.every(({ pendingActivities }) => (pendingActivities?.length ?? 0) > 0);
  });
  go.open();
  await world.until('it to be undone', async () => (await sick.row()).status === 'rolled-back');
  expect(world.version()).toBe('v1');
  const { events } = await sick.handle.fetchHistory();
  const undos = events!.flatMap(({ activityTaskScheduledEventAttributes: asked }) =>
    /undo|takeOut|verify/.test(asked?.activityType?.name ?? '') ? [asked!.priority?.priorityKey] : [],
  );
  expect(undos.length).toBeGreaterThan(0);
  expect(new Set(undos)).toEqual(new Set([1]));
  expect(await hanging()).toBe(3);

  const waiting = await world.until('one to say what it waits for', async () => {
    for (const build of builds) {
      const step = await buildOf(build);
      if (step?.trouble) return { build, trouble: step.trouble };
    }
    return undefined;
  });
  expect(waiting.trouble.message).toBe(
    'It waits for a place: 3 of build run on this worker, which does 5 steps at once. It begins when one of them ends; the other slots are kept for undos and health checks.',
  );

  // As builds end, those that waited begin.
  delete world.faults.healthCheck;
  const ended = new Set<unknown>();
  while (ended.size < builds.length)
    for (const build of builds) {
      const lines = await world.log(await build.row());
      if (ended.has(build) || !lines.some(({ text }) => text === 'hanging')) continue;
      expect((await buildOf(build))?.trouble).toBeNull();
      await build.handle.cancel();
      await build.handle.result();
      ended.add(build);
    }
  expect(await hanging()).toBe(builds.length);
});

it('waiting for a place uses up nothing of the time in which the step is tried', async () => {
  const full = await Promise.all(
    others.slice(0, 3).map(async (target) => world.start(await world.approved('hangs', target))),
  );
  await world.until('the builds to fill the worker', async () => {
    const lines = await Promise.all(full.map(async (d) => (await d.row()) && world.log(await d.row())));
    return lines.every((log) => log && log.some(({ text }) => text === 'hanging'));
  });
  const d = await world.start(await world.approved('v2', others[3]));
  await world.until('it to wait', async () => (await buildOf(d))?.trouble);
  const until = async () => {
    const { pendingActivities } = (await d.handle.describe()).raw;
    return Number(pendingActivities?.[0]?.expirationTime?.seconds ?? 0);
  };
  const before = await until();
  await world
    .db('deployment_steps')
    .whereNotNull('fault_message')
    .update({ fault_since: world.db.raw(`now() - interval '6 minutes'`) });
  await world.until('more time', async () => (await until()) > before, 60_000);
  await world.until('it to wait again', async () => (await buildOf(d))?.trouble);
  for (const build of full) {
    await build.handle.cancel();
    await build.handle.result();
  }
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
  expect((await buildOf(d))?.trouble).toBeNull();
  const lines = (await world.log(await d.row())).map(({ text }) => text);
  expect(lines.join()).not.toContain('It waits for a place');
  await world.checkEnded(await d.row());
});

it.each([
  [2, 1, 1],
  [5, 3, 4],
  [100, 60, 80],
])('of %s slots builds may have %s, and with swaps %s', (slots, forBuilds, withSwaps) => {
  const places = createPlaces(slots);
  const left = Array.from({ length: forBuilds }, (_, n) =>
    places.take(['build', 'backup', 'migrate'][n % 3]!),
  );
  for (const step of ['build', 'backup', 'migrate'])
    expect(() => places.take(step)).toThrow('waits for a place');
  for (let n = forBuilds; n < withSwaps; n++) places.take('swap');
  expect(() => places.take('swap')).toThrow('waits for a place');
  for (const step of ['undo-swap', 'undo-migrate', 'take-out', 'verify-rollback', 'health-check'])
    places.take(step);
  if (withSwaps > forBuilds) return;
  left[0]!();
  places.take('build');
});

it('what people say is heard although builds hang in every slot, also of a worker with one', async () => {
  await world.stop();
  world = await makeWorld({ slots: 1 });
  const d = await world.start(await world.approved('hangs'));
  await world.until(
    'it to build',
    async () => (await d.row())?.id && (await world.log(await d.row())).length > 0,
  );
  await d.handle.signal('cancelDeployment', world.cancelOf(d.handle.workflowId));
  await world.until('it to be rolled back', async () => (await d.row()).status === 'rolled-back');
  await d.handle.result();
});
