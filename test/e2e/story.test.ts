import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../db/connect';
import { run } from '../../cli/embedded/fetch-part';
import { readBack } from '../../activities/archive';
import { answerOf, cleanUp, cli, modeOf, startUp, stopUp, type Up } from '../helpers/up';

/** One story, end to end, as a stranger lives it: nothing -> up -> deployed; then `broken` -> rolled back. */
let up: Up;
beforeAll(async () => {
  up = await startUp();
});
afterAll(cleanUp);

const site = async (path: string, method = 'GET') =>
  (await (await fetch(`${up.endpoints().site}${path}`, { method })).json()) as Record<string, unknown>;

it('deploys the sample in front of the reader, down to the version read back from the site', async () => {
  await up.says('Running. Ctrl-C stops everything in order.');
  const said = up.output();
  for (const line of [
    'shipped v1',
    'approved RFC-1',
    'pressed Deploy Now: CP-1.1',
    'build: done',
    'backup: done',
    'swap: done',
    'health-check: done',
    '"version":"v1"',
  ])
    expect(said).toContain(line);
  for (const line of ['ship shop broken', 'approve CP-2', 'deploy CP-2 --wait'])
    expect(said).toContain(`npx signalbox ${line}`);
  expect(await site('/version')).toMatchObject({ version: 'v1' });
});

it('writes endpoints.json for its owner alone, with a token of a distinct person for each role', async () => {
  const endpoints = up.endpoints();
  expect(modeOf(join(up.state, 'endpoints.json'))).toBe('600');
  expect(Object.keys(endpoints)).toEqual(
    expect.arrayContaining(['api', 'page', 'temporalAddress', 'temporalUi', 'databaseUrl', 'site', 'tokens']),
  );
  const people = await Promise.all(
    Object.entries(endpoints.tokens).map(async ([role, token]) => {
      const me = await fetch(`${endpoints.api}/me`, { headers: { authorization: `Bearer ${token}` } });
      const { person, roles } = (await me.json()) as { person: string; roles: string[] };
      expect(roles).toEqual([role]);
      return person;
    }),
  );
  expect(new Set(people).size).toBe(5);
  expect((await fetch(endpoints.page)).status).toBe(200);
  // A Temporal server of one's own has its UI elsewhere.
  if (process.env.TEMPORAL_ADDRESS) expect(endpoints.temporalUi).toBeNull();
  else expect((await fetch(endpoints.temporalUi!)).status).toBe(200);
  expect((await fetch(endpoints.docs)).status).toBe(200);
});

it('ships, approves and deploys a broken release by the commands it named: it rolls back by itself', async () => {
  await site('/orders', 'POST');
  const { orders } = await site('/orders');
  const shipped = await cli(up, 'ship', 'shop', 'broken', '--json');
  expect(shipped.code).toBe(0);
  expect(JSON.parse(shipped.out)).toMatchObject({ key: 'CP-2', status: 'pending' });
  expect(await cli(up, 'approve', 'CP-2')).toMatchObject({
    code: 0,
    out: expect.stringContaining('RFC-2 is approved'),
  });
  const deployed = await cli(up, 'deploy', 'CP-2', '--wait');
  expect(deployed.code).toBe(3);
  expect(deployed.out).toMatch(/health-check: failed.*undo-swap: done.*verify-rollback: done/s);

  expect(await site('/version')).toMatchObject({ version: 'v1' });
  expect(await site('/orders')).toEqual({ orders });
  const status = answerOf(await cli(up, 'status', 'CP-2', '--json'));
  expect(status).toMatchObject({
    status: 'rolled-back',
    live: false,
    deployments: [{ status: 'rolled-back' }],
  });
  expect(answerOf(await cli(up, 'status', 'RFC-2', '--json'))).toMatchObject({ status: 'approved' });
  // The backup is what its record says, read back from the disk.
  const { reference, sha256, bytes } = status.backup;
  expect(await readBack(reference)).toMatchObject({ sha256, bytes });
});

it('keeps a gapless log that watch prints', async () => {
  const db = connect(up.endpoints().databaseUrl);
  const rows = await db('deployment_log').orderBy(['deployment', 'seq']);
  await db.destroy();
  const numbers = new Map<number, number[]>();
  for (const { deployment, seq } of rows) numbers.set(deployment, [...(numbers.get(deployment) ?? []), seq]);
  expect(numbers.size).toBe(2);
  for (const seqs of numbers.values()) expect(seqs).toEqual(seqs.map((_, n) => n + 1));
  const watched = await cli(up, 'watch', 'CP-2');
  expect(watched.code).toBe(3);
  expect(watched.out).toContain('made index.html for broken');
});

it('deploys v2, rolls it back by hand, and answers a CI with exit codes', async () => {
  await cli(up, 'ship', 'shop', 'v2', '--title', 'Sell timetables');
  expect((await cli(up, 'deploy', 'CP-3')).code).toBe(1);
  await cli(up, 'approve', 'RFC-3');
  expect((await cli(up, 'deploy', 'CP-3', '--wait')).code).toBe(0);
  expect(await site('/version')).toMatchObject({ version: 'v2' });
  expect((await cli(up, 'rollback', 'CP-3', '--wait', '--reason', 'customers complain')).code).toBe(0);
  expect(await site('/version')).toMatchObject({ version: 'v1' });
  expect(await cli(up, 'ship', 'shop', 'v22')).toMatchObject({
    code: 1,
    err: expect.stringMatching(/unknown-revision.*v2/s),
  });
  expect((await cli(up, 'deploy')).code).toBe(2);
  expect((await cli(up, 'nonsense')).code).toBe(2);
  expect(await cli(up, 'cancel', 'CP-3')).toMatchObject({
    code: 1,
    err: expect.stringContaining('has ended'),
  });
  const overview = (await cli(up, 'status')).out;
  for (const text of [
    'shop',
    'v1 (CP-1',
    'CP-3',
    'rolled-back',
    'free',
    'CP-3.2 (rollback by hand) succeeded',
  ])
    expect(overview).toContain(text);
  // A target alone, with what was shipped to it; what is neither says what there is.
  const shop = (await cli(up, 'status', 'shop')).out;
  for (const text of ['shop', 'v1 (CP-1', 'CP-3']) expect(shop).toContain(text);
  expect(await cli(up, 'status', 'shoe')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/shoe.*no target.*There are: shop/s),
  });
});

it('an SRE finds the deployment by target in Temporal', async () => {
  const { stdout } = await temporal(
    'workflow',
    'list',
    '--query',
    'SignalboxTarget="shop" AND SignalboxStatus="rolled-back"',
    '-o',
    'json',
  );
  const found = JSON.parse(stdout) as { execution: { workflowId: string } }[];
  expect(found.map(({ execution }) => execution.workflowId)).toContain('deploy/CP-2/1');
});

it('doctor finds that everything fits, and ends with 1 once something does not', async () => {
  expect(await cli(up, 'doctor')).toMatchObject({
    code: 0,
    out: expect.stringMatching(
      /^Worker on .*: Builds run (in|WITHOUT) a sandbox[^]*Record, Temporal and targets fit together\.$/m,
    ),
  });
  const backup = answerOf(await cli(up, 'backup', 'list', '--json'))[0] as {
    key: string;
    reference: string;
  };
  renameSync(backup.reference, `${backup.reference}.away`);
  const told = await cli(up, 'doctor', '--json');
  renameSync(`${backup.reference}.away`, backup.reference);
  expect(told.code).toBe(1);
  expect(JSON.parse(told.out)).toMatchObject({
    differences: [{ kind: 'backup-gone', subject: backup.key, todo: expect.stringContaining('copy') }],
  });
});

it('stops in order on Ctrl-C, leaves no process, and its files say nothing to others', async () => {
  const log = readFileSync(join(up.state, 'logs', 'signalbox.log'), 'utf8');
  expect(log).not.toContain(up.endpoints().tokens.sre);
  await stopUp(up);
  expect(up.output()).toContain('Stopped; nothing is left running.');
});

const temporal = (...args: string[]) =>
  run(process.env.TEST_TEMPORAL!, [...args, '--address', up.endpoints().temporalAddress]);
