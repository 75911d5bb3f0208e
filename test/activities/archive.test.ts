import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packCanonical, packPaths, readBack, unpack } from '../../activities/archive';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'signalbox-archive-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function tree(name: string, order: string[]): string {
  const root = join(folder, name);
  mkdirSync(join(root, 'sub'), { recursive: true });
  for (const file of order) writeFileSync(join(root, file), `content of ${file}`);
  symlinkSync('a.txt', join(root, 'link'));
  return root;
}

it('equal content gives an equal digest, whatever the times, modes and order', async () => {
  const one = tree('one', ['a.txt', 'b.txt', 'sub/c.txt']);
  const two = tree('two', ['sub/c.txt', 'b.txt', 'a.txt']);
  chmodSync(join(two, 'a.txt'), 0o600);
  utimesSync(join(two, 'b.txt'), 1, 1);
  const [a, b] = await Promise.all([
    packCanonical(one, join(folder, 'a.tar')),
    packCanonical(two, join(folder, 'b.tar')),
  ]);
  expect(a).toEqual(b);
  chmodSync(join(two, 'a.txt'), 0o755);
  expect((await packCanonical(two, join(folder, 'c.tar'))).sha256).not.toBe(a.sha256);
});

it.each(['/etc/passwd', '../outside', 'sub/../../outside'])(
  'refuses a link that leaves the release: %s',
  async (to) => {
    const root = tree('one', ['a.txt']);
    symlinkSync(to, join(root, 'escape'));
    await expect(packCanonical(root, join(folder, 'a.tar'))).rejects.toThrow('leaves the release');
  },
);

it('refuses a link that leaves by way of another, and one that leads nowhere', async () => {
  const root = tree('one', ['a.txt']);
  mkdirSync(join(folder, 'outside'));
  mkdirSync(join(root, 'sub', 'deep'));
  // By its text it stays inside; followed, it does not.
  symlinkSync('sub/deep', join(root, 'short'));
  symlinkSync('short/../../../outside', join(root, 'zigzag'));
  await expect(packCanonical(root, join(folder, 'a.tar'))).rejects.toThrow(/zigzag is a link that leaves/);
  rmSync(join(root, 'zigzag'));
  symlinkSync('not-there', join(root, 'dangling'));
  await expect(packCanonical(root, join(folder, 'a.tar'))).rejects.toThrow(
    'dangling is a link that leads nowhere',
  );
});

it('refuses what is larger than it may be', async () => {
  const root = tree('one', ['a.txt']);
  writeFileSync(join(root, 'large'), Buffer.alloc(1_000_000));
  await expect(packCanonical(root, join(folder, 'a.tar'), 500_000)).rejects.toThrow(
    'larger than 500000 bytes',
  );
});

it('a backup reads back as it was written, and restores to equal bytes', async () => {
  const root = tree('data', ['a.txt', 'b.txt']);
  const file = join(folder, 'backup.tar.gz');
  const packed = await packPaths([root], file);
  expect(await readBack(file)).toEqual(packed);
  const out = join(folder, 'out');
  mkdirSync(out);
  await unpack(file, out, true);
  expect(readFileSync(join(out, root, 'a.txt'), 'utf8')).toBe('content of a.txt');
});

it.each([
  ['cut short', (file: string) => truncateSync(file, readFileSync(file).length - 40)],
  [
    'with a bit flipped',
    (file: string) => {
      const bytes = readFileSync(file);
      bytes[Math.floor(bytes.length / 2)]! ^= 1;
      writeFileSync(file, bytes);
    },
  ],
  ['empty', (file: string) => writeFileSync(file, '')],
])('a backup %s does not read back', async (_how, damage) => {
  const file = join(folder, 'backup.tar.gz');
  const packed = await packPaths([tree('data', ['a.txt', 'b.txt'])], file);
  damage(file);
  const same = await readBack(file).then(
    (found) => found.sha256 === packed.sha256 && found.entries === packed.entries,
    () => false,
  );
  expect(same).toBe(false);
});
