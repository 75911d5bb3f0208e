import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeWorld, type World } from '../helpers/world';

/** What a build leaves and what it must not: releases by content, provenance, secrets. */
let world: World;
const secret = 'correct horse battery';
beforeAll(async () => {
  process.env.TEST_SECRET = secret;
  world = await makeWorld({ extra: 'secrets: { API_KEY: { env: TEST_SECRET } }' });
});
afterAll(() => world.stop());

it('builds once for the same commit and recipe; provenance stands beside the archive', async () => {
  const first = await (await world.deploy('v1')).row();
  const second = await (await world.deploy('v1')).row();
  expect(second.to_release).toBe(first.to_release);
  const detail = async (id: number) =>
    (await world.db('deployment_steps').where({ deployment: id, name: 'build' }).first()).detail;
  expect(await detail(first.id)).not.toContain('reused');
  expect(await detail(second.id)).toContain('reused');
  expect(await world.db('builds')).toHaveLength(1);
  const archive = join(world.folder, 'state', 'artifacts', 'shop', `${first.to_release}.tar`);
  expect(existsSync(archive)).toBe(true);
  expect(JSON.parse(readFileSync(archive.replace('.tar', '.json'), 'utf8'))).toMatchObject({
    release: first.to_release,
    commit: expect.stringMatching(/^[0-9a-f]{40}$/),
    recipe: expect.any(String),
    builder: expect.any(String),
    startedAt: expect.any(String),
    finishedAt: expect.any(String),
    deployment: 'CP-1.1',
  });
});

it('builds anew when the archive was altered', async () => {
  const { to_release: release } = (await world.db('deployments').orderBy('id').first()) as {
    to_release: string;
  };
  const archive = join(world.folder, 'state', 'artifacts', 'shop', `${release}.tar`);
  writeFileSync(archive, 'not what it was');
  const again = await (await world.deploy('v1')).row();
  expect(again).toMatchObject({ status: 'succeeded', to_release: release });
});

it('an output folder that is a link out of the repository does not become a release', async () => {
  const d = await world.deploy('escapes');
  const row = await d.row();
  expect(row).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('"dist" is a link that leaves the repository'),
  });
  expect(row.to_release).toBeNull();
});

it('keeps secrets out of log, steps and workflow history', async () => {
  const build = world.targets.get('shop')!.build;
  build.argv = [
    process.execPath,
    '-e',
    `const k = process.env.API_KEY; process.stdout.write('plain ' + k.slice(0, 5)); setTimeout(() => { console.log(k.slice(5)); console.error(Buffer.from(k).toString('base64'), encodeURIComponent(k)); process.exit(3) }, 100)`,
  ];
  const d = await world.deploy('v2');
  const row = await d.row();
  expect(row.status).toBe('rolled-back');
  const lines = await world.log(row);
  const redacted = lines.filter((l) => l.text.includes('[secret API_KEY]'));
  // What the build wrote, and the verdict, which ends with its last errors.
  expect(redacted.map((l) => l.stream)).toEqual(['out', 'err', 'note']);
  expect(row.outcome).toContain('[secret API_KEY]');
  const history = JSON.stringify(await d.handle.fetchHistory());
  const everything = JSON.stringify([lines, row, await world.db('deployment_steps'), history]);
  for (const form of [
    secret,
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    encodeURIComponent(secret),
  ])
    expect(everything).not.toContain(form);
});
