import { makeWorld, type World } from '../helpers/world';

/** Where the target says `concurrency: supersede`, only the newest promotion among those that wait goes on. */
let world: World;
beforeAll(async () => {
  world = await makeWorld({ extra: 'concurrency: supersede' });
});
afterAll(() => world.stop());

const statuses = async (d: Awaited<ReturnType<World['start']>>) => {
  const { status, outcome, promotion } = await d.row();
  const [change] = await world.db('change_requests').where({ id: promotion });
  const [shipped] = await world.db('promotions').where({ id: promotion });
  return { status, outcome, promotion: shipped.status as string, change: change.status as string };
};

it('a newer promotion supersedes older ones that wait; what runs and a rollback by hand are left alone', async () => {
  const first = await world.deploy('v1');
  const second = await world.deploy('v2');
  expect(await first.row()).toMatchObject({ status: 'succeeded' });
  const older = await world.approved('v1');
  const running = await world.start(await world.approved('hangs'));
  await world.until('the build', async () => (await running.row())?.status === 'running');
  const back = await world.start(second.promotion, 'rollback');
  const [newer, newest] = [await world.approved('v2'), await world.approved('v3')];

  const waiting = await world.start(newer);
  await world.until('it to wait', async () => (await waiting.row())?.waiting_for?.includes('position 2'));
  const last = await world.start(newest);
  await waiting.handle.result();
  expect(await statuses(waiting)).toEqual({
    status: 'superseded',
    promotion: 'superseded',
    change: 'cancelled',
    outcome: expect.stringContaining(`Superseded by CP-${newest}.1`),
  });

  // Clicked later, but an older promotion: it must not overwrite the newer one.
  const late = await world.start(older);
  await late.handle.result();
  expect(await statuses(late)).toMatchObject({ status: 'superseded', promotion: 'superseded' });

  expect(await running.row()).toMatchObject({ status: 'running' });
  expect(await back.row()).toMatchObject({ status: 'queued' });
  await running.handle.signal('cancelDeployment', world.cancelOf(running.handle.workflowId));
  await Promise.all([running, back, last].map(({ handle }) => handle.result()));
  expect(await back.row()).toMatchObject({ status: 'succeeded' });
  expect(await statuses(last)).toMatchObject({
    status: 'succeeded',
    promotion: 'deployed',
    change: 'completed',
  });
  expect(world.version()).toBe('v3');
  for (const d of [waiting, late, running, back, last]) await world.checkEnded(await d.row());
});

it('many clicks at once: the newest ends up live, and no older one ran after a newer one', async () => {
  const promotions: number[] = [];
  for (let n = 0; n < 6; n++) promotions.push(await world.approved(n % 2 ? 'v1' : 'v2'));
  const started = await Promise.all(promotions.map((id) => world.start(id)));
  await Promise.all(started.map(({ handle }) => handle.result()));
  const rows = await Promise.all(started.map((d) => d.row()));
  expect(rows.at(-1)?.status).toBe('succeeded');
  expect(rows.some(({ status }) => status === 'superseded')).toBe(true);
  for (const row of rows) expect(['succeeded', 'superseded']).toContain(row.status);
  const order = rows
    .filter((row) => row.status === 'succeeded')
    .sort((a, b) => +a.started_at! - +b.started_at!);
  expect(order.map((row) => row.promotion)).toEqual(order.map((row) => row.promotion).sort((a, b) => a - b));
  expect(world.current()).toBe(rows.at(-1)!.to_release);
});
it('the companion: without the setting they run one after the other', async () => {
  world.targets.get('shop')!.concurrency = 'queue';
  const promotions = [await world.approved('v1'), await world.approved('v2'), await world.approved('v3')];
  const started = await Promise.all(promotions.map((id) => world.start(id)));
  await Promise.all(started.map(({ handle }) => handle.result()));
  expect((await Promise.all(started.map((d) => d.row()))).map((row) => row.status)).toEqual([
    'succeeded',
    'succeeded',
    'succeeded',
  ]);
});
