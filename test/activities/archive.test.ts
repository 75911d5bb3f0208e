import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Header } from 'tar';
import { packCanonical, removeTree, unpack } from '../../activities/archive';

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
  chmodSync(join(two, 'a.txt'), 0o664);
  utimesSync(join(two, 'b.txt'), 1, 1);
  const [a, b] = await Promise.all([
    packCanonical(one, join(folder, 'a.tar')),
    packCanonical(two, join(folder, 'b.tar')),
  ]);
  expect(a).toEqual(b);
  chmodSync(join(two, 'a.txt'), 0o755);
  expect((await packCanonical(two, join(folder, 'c.tar'))).sha256).not.toBe(a.sha256);
});

it('equal content has the digest that it always had', async () => {
  const { sha256 } = await packCanonical(tree('one', ['a.txt', 'b.txt', 'sub/c.txt']), join(folder, 'a.tar'));
  expect(sha256).toBe('448e420b777b931a31fd5111d548f7ca85d63751eb1613505dc8aaf97a6d7c52');
});

it('modes stay as they are, apart from what group and others could write', async () => {
  const modes = { secret: 0o600, tool: 0o744, shared: 0o664, program: 0o777, key: 0o640 };
  const root = tree('one', ['a.txt', ...Object.keys(modes)]);
  for (const [name, mode] of Object.entries(modes)) chmodSync(join(root, name), mode);
  mkdirSync(join(root, 'private'));
  chmodSync(join(root, 'private'), 0o700);
  await packCanonical(root, join(folder, 'a.tar'));
  const out = join(folder, 'out');
  mkdirSync(out);
  // Whoever runs it may keep new files private; what a release says of its own counts.
  const before = process.umask(0o077);
  try {
    await unpack(join(folder, 'a.tar'), out);
  } finally {
    process.umask(before);
  }
  const found = [...Object.keys(modes), 'private', 'sub'].map((name) => [
    name,
    (statSync(join(out, name)).mode & 0o7777).toString(8),
  ]);
  expect(Object.fromEntries(found)).toEqual({
    secret: '600',
    tool: '744',
    shared: '644',
    program: '755',
    key: '640',
    private: '700',
    sub: '755',
  });
});

/** An archive made entry by entry, as no packing of ours makes it. */
function archive(name: string, ...entries: ConstructorParameters<typeof Header>[0][]): string {
  const blocks = entries.map((entry) => {
    const header = new Header({ mode: 0o644, size: 0, ...(entry as object) } as never);
    header.encode();
    return header.block!;
  });
  const file = join(folder, name);
  writeFileSync(file, Buffer.concat([...blocks, Buffer.alloc(1024)]));
  return file;
}

it('a name that begins with @ is a name, and no archive to include', async () => {
  const root = tree('one', ['a.txt', '@a.txt']);
  mkdirSync(join(root, '@types'));
  writeFileSync(join(root, '@types', 'x.d.ts'), 'types');
  const evil = archive(
    'evil.tar',
    { path: 'root-shell', type: 'File', mode: 0o4755 },
    { path: 'out', type: 'SymbolicLink', linkpath: '/etc' },
  );
  writeFileSync(join(root, '@evil.tar'), readFileSync(evil));
  const packed = await packCanonical(root, join(folder, 'a.tar'));
  const out = join(folder, 'out');
  mkdirSync(out);
  await unpack(join(folder, 'a.tar'), out);
  expect(readdirSync(out).sort()).toEqual(['@a.txt', '@evil.tar', '@types', 'a.txt', 'link', 'sub']);
  expect(readFileSync(join(out, '@a.txt'), 'utf8')).toBe('content of @a.txt');
  expect(readFileSync(join(out, '@evil.tar'))).toEqual(readFileSync(evil));
  expect(await packCanonical(out, join(folder, 'again.tar'))).toEqual(packed);
});

it.each([
  [
    'an absolute link',
    { path: 'l', type: 'SymbolicLink', linkpath: '/etc/passwd' },
    'l is a link that leaves',
  ],
  [
    'a link that climbs out',
    { path: 'd/l', type: 'SymbolicLink', linkpath: '../../x' },
    'd/l is a link that leaves',
  ],
  ['a hard link', { path: 'h', type: 'Link', linkpath: 'a.txt' }, 'h is neither a file, a folder nor a link'],
  ['a setuid file', { path: 's', type: 'File', mode: 0o4755 }, 's runs as whoever owns it'],
  ['a setgid file', { path: 's', type: 'File', mode: 0o2755 }, 's runs as whoever owns it'],
  ['a device', { path: 'n', type: 'CharacterDevice', devmaj: 1, devmin: 3 }, 'n is neither'],
  ['a named pipe', { path: 'p', type: 'FIFO' }, 'p is neither'],
  ['an absolute name', { path: `${tmpdir()}/signalbox-leaves`, type: 'File' }, 'leaves the release'],
  ['a name that climbs out', { path: '../signalbox-leaves', type: 'File' }, 'leaves the release'],
] as const)('unpacking refuses what packing refuses: %s', async (_what, entry, why) => {
  const out = join(folder, 'a', 'b', 'out');
  mkdirSync(out, { recursive: true });
  const file = archive(
    'odd.tar',
    { path: 'a.txt', type: 'File' },
    { path: 'd', type: 'Directory', mode: 0o755 },
    entry as never,
  );
  await expect(unpack(file, out)).rejects.toThrow(why);
  expect(
    existsSync(join(tmpdir(), 'signalbox-leaves')) || existsSync(join(out, '..', 'signalbox-leaves')),
  ).toBe(false);
  // Its companion: without that entry it is taken.
  await unpack(archive('plain.tar', { path: 'a.txt', type: 'File' }), out);
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

it.each<[string, Buffer | string, string]>([
  ['a drive', 'C:\\x', 'C:\\x has a name that begins as a path of Windows does'],
  ['a drive alone', 'c:x', 'c:x has a name that begins as a path of Windows does'],
  ['a backslash', '\\x', '\\x has a name that begins as a path of Windows does'],
  ['no UTF-8', Buffer.from('sub/caf\xe9', 'latin1'), 'sub/caf\ufffd has a name that is not UTF-8'],
  ['no UTF-8, a folder', Buffer.from('caf\xe9/', 'latin1'), 'caf\ufffd has a name that is not UTF-8'],
])('refuses names by which it would not be unpacked, and says so: %s', async (_what, name, why) => {
  const root = tree('one', ['a.txt']);
  const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name)]);
  if (path.at(-1) === 47) mkdirSync(path);
  else writeFileSync(path, '');
  await expect(packCanonical(root, join(folder, 'a.tar'))).rejects.toThrow(`${why}`);
  rmSync(path, { recursive: true });
  await packCanonical(root, join(folder, 'a.tar'));
});

it('keeps names that only look so, and refuses a link by which one would not be', async () => {
  const root = tree('one', ['a.txt', 'sub/c:x', 'ab:c', '\ufffd', 'a\\b', '@x', ' a', 'a\nb', '-rf']);
  const { sha256 } = await packCanonical(root, join(folder, 'a.tar'));
  const out = join(folder, 'kept');
  mkdirSync(out);
  await unpack(join(folder, 'a.tar'), out);
  expect((await packCanonical(out, join(folder, 'b.tar'))).sha256).toBe(sha256);
  symlinkSync('c:x', join(root, 'sub', 'link'));
  await expect(packCanonical(root, join(folder, 'a.tar'))).rejects.toThrow(
    'sub/link is a link to c:x, which',
  );
});

it('refuses what is larger than it may be', async () => {
  const root = tree('one', ['a.txt']);
  writeFileSync(join(root, 'large'), Buffer.alloc(1_000_000));
  await expect(packCanonical(root, join(folder, 'a.tar'), 500_000)).rejects.toThrow(
    'larger than 500000 bytes',
  );
});

it('what a build left is removed, however deep it is nested and closed', async () => {
  const root = join(folder, 'left');
  mkdirSync(join(root, 'closed', 'inner'), { recursive: true });
  const before = process.cwd();
  try {
    process.chdir(root);
    for (let depth = 0; depth < 40; depth++) {
      mkdirSync('n'.repeat(200));
      process.chdir('n'.repeat(200));
    }
  } finally {
    process.chdir(before);
  }
  chmodSync(join(root, 'closed', 'inner'), 0);
  chmodSync(join(root, 'closed'), 0);
  await removeTree(root);
  expect(existsSync(root)).toBe(false);
});
