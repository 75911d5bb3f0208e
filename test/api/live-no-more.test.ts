import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** Deploy Now of what is deployed already: the answer is its attempt while it is live, and a refusal once it is not. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});
const deploy = (promotion: number) =>
  api.post('release-manager', `/api/promotions/CP-${promotion}/deploy`, {});

it('refuses one that a newer release has superseded, and says what to do', async () => {
  const older = await world.deploy('v1');
  const newer = await world.deploy('v2');
  const { status, body } = await deploy(older.promotion);
  expect([status, body.code]).toEqual([422, 'not-current']);
  expect(body.detail).toContain(`CP-${older.promotion} was deployed and is superseded`);
  expect(body.detail).toContain(`shop runs CP-${newer.promotion} now`);
  expect(body.detail).toContain('ship v1 again');
  expect(world.version()).toBe('v2');
  expect(await world.db('deployments').where({ promotion: older.promotion })).toHaveLength(1);
});

it('refuses one that is live no more although nothing newer is', async () => {
  const { promotion } = await world.deploy('v3');
  await world.owner('targets').where({ name: 'shop' }).update({ current_deployment: null });
  const { status, body } = await deploy(promotion);
  expect([status, body.code]).toEqual([422, 'not-current']);
  expect(body.detail).toContain('is not what shop runs');
});

it('the companion: one that is live is answered with the attempt that made it so', async () => {
  const live = await world.deploy('v2');
  const { status, body } = await deploy(live.promotion);
  expect([status, body.key, body.status]).toEqual([202, `CP-${live.promotion}.1`, 'succeeded']);
});
