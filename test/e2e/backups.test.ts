import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cleanUp, cli, startUp, stopUp, type Up } from '../helpers/up';

/** `signalbox backup`: what there is, whether it is whole, and putting it back by hand. */
let up: Up;
const orders = () => join(up.state, 'sample', 'shop-data', 'orders.jsonl');
beforeAll(async () => {
  up = await startUp();
  await up.says('Running. Ctrl-C');
});
afterAll(cleanUp);

it('lists, verifies and restores', async () => {
  const list = await cli(up, 'backup', 'list', '--json');
  const [first] = JSON.parse(list.out) as { key: string; reference: string; kind: string }[];
  expect(first).toMatchObject({ key: 'CP-1.1', kind: 'files' });
  const other = join(dirname(first!.reference), 'CP-60.1@0a1b2c3d.backup-1-1-mx0fb5cg.tar.gz');
  writeFileSync(other, 'left by what the record does not have');
  const [known, unknown] = (await cli(up, 'backup', 'list')).out.split('Not in the record');
  expect(known).toContain(first!.reference);
  expect(unknown).toContain(other);
  expect(unknown).not.toContain(first!.reference);
  expect(await cli(up, 'backup', 'verify', 'CP-1.1')).toMatchObject({
    code: 0,
    out: expect.stringContaining('is what was made and verified at'),
  });

  const before = readFileSync(orders(), 'utf8');
  appendFileSync(orders(), '{"late":true}\n');
  const careless = await cli(up, 'backup', 'restore', 'CP-1.1');
  expect([careless.code, careless.err]).toEqual([2, expect.stringContaining('Say --in-place')]);
  const silent = await cli(up, 'backup', 'restore', 'CP-1.1', '--in-place');
  expect([silent.code, silent.err]).toEqual([2, expect.stringContaining('Say why, with --reason')]);
  expect(readFileSync(orders(), 'utf8')).not.toBe(before);
  expect(await cli(up, 'backup', 'restore', 'CP-1.1', '--in-place', '--reason', 'a drill')).toMatchObject({
    code: 0,
    out: 'The data of shop is what it was before CP-1.1.\n',
  });
  expect(readFileSync(orders(), 'utf8')).toBe(before);
  const audit = await cli(up, 'audit', 'list', '--action', 'backup.restored');
  expect(audit.out).toMatch(/operator .* backup\.restored {2}CP-1\.1 {2}a drill/);

  const bytes = readFileSync(first!.reference);
  writeFileSync(first!.reference, bytes.subarray(0, 50));
  expect(await cli(up, 'backup', 'verify', 'CP-1.1')).toMatchObject({
    code: 1,
    out: expect.stringContaining('is missing or altered'),
  });
  const altered = await cli(up, 'backup', 'restore', 'CP-1.1', '--in-place', '--reason', 'x');
  expect([altered.code, altered.err]).toEqual([2, expect.stringContaining('nothing was restored')]);
  expect(await cli(up, 'backup', 'verify', 'CP-9.9')).toMatchObject({
    code: 2,
    err: expect.stringContaining('CP-9.9'),
  });
  await stopUp(up);
});
