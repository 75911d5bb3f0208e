import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createSource, git, type Source } from '../../activities/git';
import { makeRepository, type Repository } from '../helpers/repository';

/** A checkout is whole, or says what is missing. */
let folder: string;
let library: Repository;
let shop: Repository;
let source: Source;
const path = process.env.PATH!;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-checkout-'));
  library = await makeRepository(join(folder, 'library'));
  library.write('lib.txt', 'of the library');
  await library.commit('one', 'v1');
  shop = await makeRepository(join(folder, 'shop'));
  shop.write('a.txt', 'one');
  await shop.commit('one', 'plain');
  source = createSource(join(folder, 'mirrors'));
});
afterEach(() => (process.env.PATH = path));
afterAll(async () => {
  await source.close();
  rmSync(folder, { recursive: true, force: true });
});

const checkedOut = async (revision: string) => {
  const commit = await source.resolve('shop', shop.folder, revision);
  const into = join(folder, `at-${revision}`);
  await source.checkout('shop', shop.folder, commit, into);
  return into;
};
/** Adds a submodule at an address, as any client could write it. */
async function withSubmodule(name: string, url: string, tag: string): Promise<void> {
  const commit = (await git(['-C', library.folder, 'rev-parse', 'v1'])).trim();
  shop.write('.gitmodules', `[submodule "${name}"]\n\tpath = ${name}\n\turl = ${url}\n`);
  const at = (...args: string[]) => git(['-C', shop.folder, ...args]);
  await at('update-index', '--add', '--cacheinfo', `160000,${commit},${name}`);
  await at('add', '.gitmodules');
  await at('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '-m', tag);
  await at('tag', tag);
  await at('update-index', '--force-remove', name);
  await at('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '-m', 'without');
}

it('submodules come with it, also by an address beside its own', async () => {
  await withSubmodule('lib', '../library', 'relative');
  const into = await checkedOut('relative');
  expect(readFileSync(join(into, 'lib', 'lib.txt'), 'utf8')).toBe('of the library');
  await withSubmodule('lib', library.folder, 'absolute');
  expect(readdirSync(join(await checkedOut('absolute'), 'lib'))).toContain('lib.txt');
});

it.each([
  ['ext::sh -c "touch /tmp/owned"', 'by-command'],
  ['/no/such/repository', 'nowhere'],
])('a submodule that cannot be had is named: %s', async (url, tag) => {
  await withSubmodule('lib', url, tag);
  await expect(checkedOut(tag)).rejects.toMatchObject({
    code: 'repository-unreachable',
    message: expect.stringContaining('(lib)'),
  });
});

it('an address with a password leaves none of it in the checkout', async () => {
  await withSubmodule('lib', '../library', 'secretive');
  const commit = await source.resolve('shop', shop.folder, 'secretive');
  const into = join(folder, 'at-secret');
  // As a local address with a user in it: git takes what stands before the path for a host, so that it fails at the end.
  await source.checkout('shop', `http://carla:sesame@127.0.0.1:1/shop`, commit, into).catch(() => undefined);
  expect(execFileSync('grep', ['-rc', 'remote', join(into, '.git/config')]).toString()).not.toBe('0\n');
  expect(() => execFileSync('grep', ['-r', 'sesame', into])).toThrow();
});

const text =
  'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n';
it('pointers of Git LFS are refused by name where there is no "git lfs"', async () => {
  shop.write('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\n');
  shop.write('big.bin', text);
  await shop.commit('pointer', 'pointer');
  // git, and nothing that is called git-lfs.
  const bare = join(folder, 'bin');
  mkdirSync(bare);
  for (const directory of path.split(delimiter))
    for (const name of (existsSync(directory) ? readdirSync(directory) : []).filter((n) =>
      /^(git|sh|env)$/.test(n),
    ))
      try {
        symlinkSync(join(directory, name), join(bare, name));
      } catch {
        // One that is earlier on the path.
      }
  process.env.PATH = bare;
  await expect(checkedOut('pointer')).rejects.toMatchObject({
    code: 'not-whole',
    message: expect.stringMatching(/big\.bin.*Install git-lfs/),
  });
});

const lfs = (() => {
  try {
    execFileSync('git', ['lfs', 'version'], { stdio: 'ignore' });
    return it;
  } catch {
    return it.skip;
  }
})();
lfs('what Git LFS keeps comes with it where there is "git lfs"', async () => {
  const at = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      cwd: shop.folder,
      stdio: 'pipe',
    });
  at('lfs', 'install', '--local');
  writeFileSync(join(shop.folder, 'real.bin'), 'the content');
  shop.write('.gitattributes', '*.bin filter=lfs diff=lfs merge=lfs -text\n');
  rmSync(join(shop.folder, 'big.bin'), { force: true });
  at('add', '--all');
  at('commit', '-qm', 'stored');
  at('tag', 'stored');
  expect(at('show', 'stored:real.bin').toString()).toContain('version https://git-lfs');
  const into = await checkedOut('stored');
  expect(readFileSync(join(into, 'real.bin'), 'utf8')).toBe('the content');
});
