import { createClient, Unreachable, type Client } from '../../cli/client';
import { deploy, follow, type Context } from '../../cli/commands';
import { patience } from '../../cli/patience';
import { connect, type Db } from '../../db/connect';
import { serveWorld, tokenOf, type Served } from '../helpers/api';
import { darkProxy, type DarkProxy } from '../helpers/dark-proxy';
import { until } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** `deploy --wait` and `watch` follow an attempt to its end, whoever is away meanwhile. */
let world: World;
let proxy: DarkProxy;
let db: Db;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  proxy = await darkProxy(world.databaseUrl);
  db = connect(proxy.url, 20);
  api = await serveWorld({ ...world, db, databaseUrl: proxy.url }, { verdictMs: 1_000 });
});
afterAll(async () => {
  proxy.lighten();
  await api.stop();
  await db.destroy();
  await proxy.close();
  await world.stop();
});

function context(base = `${api.base}/api`) {
  const said: string[] = [];
  const client: Client = createClient({ api: base, tokens: { any: tokenOf('release-manager') } });
  const say = (line: string) => void said.push(line);
  const of: Context = { client, json: false, say, show: () => undefined, as: () => Promise.resolve() };
  return { of, said, away: () => said.filter((line) => line.includes('Waiting for it.')) };
}

it.each(['deploy --wait', 'watch'])('%s goes on when PostgreSQL was away, and says so once', async (what) => {
  const promotion = await world.approved('v1');
  const { of, away, said } = context();
  let running: Promise<number>;
  if (what === 'watch') {
    await (await world.start(promotion)).handle.result();
    proxy.goDark('all');
    running = follow(of, `CP-${promotion}.1`);
  } else {
    proxy.goDark('all');
    running = deploy(of, `CP-${promotion}`, { wait: true });
  }
  await Promise.race([running, until('it to say so', () => away().length > 0)]);
  // Several times in vain.
  await new Promise((later) => setTimeout(later, 8_000));
  proxy.lighten();
  expect(await running).toBe(0);
  expect(away()).toEqual(['  (PostgreSQL does not answer; try again in a moment. Waiting for it.)']);
  expect(said.at(-1)).toContain('v1 is deployed to shop and healthy.');
  // Sent again under the same key, so that it was done once.
  expect(await world.db('deployments').where({ promotion })).toHaveLength(1);
});

it('what acts is not sent hours later, when the network is back', async () => {
  let asked = 0;
  const patiently = patience({ hasAnswered: () => true }, () => undefined, 1_500);
  const away = patiently(() => {
    asked += 1;
    return Promise.reject(new Unreachable('Signalbox does not answer.'));
  });
  await expect(away).rejects.toThrow('it is not sent again');
  expect(asked).toBe(2);
});

it('the companions: a refusal is not waited out, and neither is a Signalbox that never answered', async () => {
  const first = context();
  await expect(deploy(first.of, 'CP-999999', { wait: true })).rejects.toMatchObject({ status: 404 });
  const nobody = context('http://127.0.0.1:9/api');
  await expect(follow(nobody.of, 'CP-1.1')).rejects.toThrow('does not answer');
  expect([...first.away(), ...nobody.away()]).toEqual([]);
});
