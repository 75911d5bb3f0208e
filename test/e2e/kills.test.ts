import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { barriers } from '../helpers/barriers';
import { makeRepository } from '../helpers/repository';
import {
  answerOf,
  cleanUp,
  elsewhere,
  newFolder,
  runAlone,
  runProgram,
  startUp,
  twoPeople,
  until,
  type Up,
} from '../helpers/up';

/**
 * A worker killed while the target's reload command runs, which is then the barrier: it says so and waits for a gate; and
 * approvals whose API or worker is killed. All other points and victims: test/faults.
 */
let host: Up;
let folder: string;
let site: Server;
let address: string;
const env: Record<string, string> = {};
let people: Awaited<ReturnType<typeof twoPeople>>;
const at = (name: string) => join(folder, name);
const listening = /http:\/\/127\.0\.0\.1:\d+/;

beforeAll(async () => {
  host = await startUp({ args: ['--no-sample'] });
  folder = newFolder();
  mkdirSync(at('data'));
  const { write, commit } = await makeRepository(at('repo'));
  write('build.js', "const fs = require('node:fs'); fs.mkdirSync('dist'); fs.copyFileSync('v', 'dist/v');");
  for (const tag of ['v1', 'v2', 'v3']) {
    write('v', tag);
    await commit(tag, tag);
  }
  writeFileSync(
    at('reload.js'),
    `const fs = require('node:fs'); const [said, gate] = process.argv.slice(2);
     fs.appendFileSync(said, process.pid + '\\n');
     const timer = setInterval(() => { if (fs.existsSync(gate)) clearInterval(timer); }, 20);`,
  );
  site = createServer((_, response) =>
    response.setHeader('connection', 'close').end(readlinkSync(join(at('site'), 'current'))),
  );
  await new Promise<void>((done) => site.listen(0, '127.0.0.1', done));
  const { port } = site.address() as { port: number };
  writeFileSync(
    at('config.yaml'),
    `targets:
  shop:
    repository: repo
    build: { argv: ["${process.execPath}", build.js] }
    driver: { kind: directory, root: site, reload: { argv: ["${process.execPath}", "${at('reload.js')}", "${at('said')}", "${at('gate')}"], timeoutSeconds: 120 } }
    backup: { kind: files, paths: [data] }
    health: { kind: http, url: "http://127.0.0.1:${port}/", successes: 1 }
`,
  );
  Object.assign(env, await elsewhere(host, 'kills'));
  address = await api().says(listening);
  people = await twoPeople(env, address);
});
afterAll(async () => {
  await cleanUp();
  site.close();
});

const places = () => ['--config', at('config.yaml'), '--state', at('state')];
const api = (more = {}) => runAlone({ ...env, ...more }, 'api', '--port', '0', ...places());
async function worker(more = {}) {
  const made = runAlone({ ...env, ...more }, 'worker', '--grace-seconds', '1', ...places());
  await made.says(/polling/);
  return made;
}
const as = (person: 'carla' | 'amir', ...args: string[]) => runProgram(args, { env: people[person] });
async function approved(revision: string): Promise<string> {
  const { key } = answerOf(await as('carla', 'ship', 'shop', revision, '--json')) as { key: string };
  await as('amir', 'approve', key);
  return key;
}
async function started(revision: string): Promise<string> {
  const key = await approved(revision);
  return (answerOf(await as('carla', 'deploy', key, '--json')) as { key: string }).key;
}
const status = async (key: string) =>
  answerOf(await as('carla', 'status', key, '--json')) as {
    status: string;
    to: string;
    steps: { name: string; status: string }[];
  };
const reloads = () =>
  existsSync(at('said')) ? readFileSync(at('said'), 'utf8').trim().split('\n').map(Number) : [];
const current = () => readlinkSync(join(at('site'), 'current')).replace('releases/', '');
const openGate = () => writeFileSync(at('gate'), '');
const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');

it('killed: another worker looks at the target, finds the swap done, and takes it to its end', async () => {
  const first = await worker();
  const key = await started('v1');
  await until('the swap', () => reloads().length === 1);
  const release = current();
  expect((await status(key)).steps.find(({ name }) => name === 'swap')?.status).toBe('running');
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await worker();
  await until('the second try', () => reloads().length === 2);
  // The command that the first one left was ended before the second one began.
  expect(alive(reloads()[0]!)).toBe(false);
  openGate();
  await until('its end', async () => (await status(key)).status === 'succeeded');
  expect(current()).toBe(release);
  second.child.kill('SIGTERM');
  expect(await second.ended).toBe(0);
});

describe('a decision', () => {
  const decisions = async (key: string) =>
    answerOf(await as('carla', 'status', key.replace('CP', 'RFC'), '--json')) as {
      status: string;
      decisions: { counted: boolean }[];
    };
  const submitted = async () => {
    const { out } = await as('carla', 'ship', 'shop', 'v1', '--json');
    return (JSON.parse(out) as { key: string }).key;
  };

  it('whose answer died with the API counts once, and the same request again finds it', async () => {
    const barrier = barriers();
    const only = await worker();
    const mortal = api(barrier.env);
    const base = await mortal.says(listening);
    const key = await submitted();
    const approve = (where: string) =>
      fetch(`${where}/api/change-requests/${key.replace('CP', 'RFC')}/decisions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${people.amir.SIGNALBOX_TOKEN}`,
          'idempotency-key': `decision-${key}`,
          'content-type': 'application/json',
        },
        body: '{"decision":"approve"}',
      });
    barrier.arm('api-decide/sent-unanswered');
    const lost = approve(base).then(
      ({ status: answered }) => answered,
      () => 'no answer',
    );
    await barrier.reached('api-decide/sent-unanswered');
    mortal.child.kill('SIGKILL');
    expect(await lost).toBe('no answer');
    expect((await approve(address)).status).toBe(201);
    const found = await decisions(key);
    expect([found.status, found.decisions.length]).toEqual(['approved', 1]);
    only.child.kill('SIGTERM');
    await only.ended;
  });

  it.each(['decide/before', 'decide/recorded-unreported'])(
    'whose worker is killed at %s counts once, by another one',
    async (point) => {
      const barrier = barriers();
      const first = await worker(barrier.env);
      const key = await submitted();
      barrier.arm(point);
      const approving = as('amir', 'approve', key);
      await barrier.reached(point);
      first.child.kill('SIGKILL');
      await first.ended;
      const second = await worker();
      await approving;
      await until('the verdict', async () => (await decisions(key)).status === 'approved');
      expect((await decisions(key)).decisions.filter(({ counted }) => counted)).toHaveLength(1);
      second.child.kill('SIGTERM');
      await second.ended;
    },
  );
});
