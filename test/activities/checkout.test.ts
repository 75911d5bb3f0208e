import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { createSource, git, type Source } from '../../activities/git';
import type { Origin } from '../../activities/origins';
import { httpRemote, type HttpRemote } from '../helpers/http-remote';
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
  // A branch whose name is no text becomes a folder of that name.
  const branch = `git -C ${library.folder} update-ref "$(printf 'refs/heads/caf\\351/x')" v1`;
  execFileSync('sh', ['-c', branch]);
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
  const closed = [join(folder, 'mirrors')];
  await source.checkout({ name: 'shop', repository: shop.folder, closed }, commit, into);
  return into;
};
/** Adds a submodule at an address, as any client could write it. */
async function withSubmodule(name: string, url: string, tag: string, head?: string): Promise<void> {
  const commit = head ?? (await git(['-C', library.folder, 'rev-parse', 'v1'])).trim();
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

/** What a build may write must be nobody else's, by whatever name. */
const shared = (into: string) =>
  execFileSync('find', [into, '-type', 'f', '-links', '+1'], { encoding: 'utf8' });
it('a checkout shares no file with what it was made of', async () => {
  await withSubmodule('lib', '../library', 'apart');
  const into = await checkedOut('apart');
  expect(readdirSync(join(into, '.git/modules/lib/objects')).length).toBeGreaterThan(0);
  expect(shared(into)).toBe('');
  // git of its own accord does share them.
  execFileSync('git', ['clone', '-q', library.folder, join(folder, 'clone')]);
  expect(shared(join(folder, 'clone'))).not.toBe('');
});

describe('what a commit names elsewhere', () => {
  let outside: string;
  let other: HttpRemote;
  let home: string;
  const before = { HOME: process.env.HOME, no_proxy: process.env.no_proxy ?? '' };
  const config = (text: string) => writeFileSync(join(home, '.gitconfig'), text);
  beforeAll(async () => {
    outside = mkdtempSync(join(tmpdir(), 'signalbox-outside-'));
    execFileSync('git', ['clone', '-q', library.folder, join(outside, 'library')]);
    symlinkSync(join(outside, 'library'), join(folder, 'link'));
    execFileSync('git', ['clone', '-q', '--bare', library.folder, join(folder, 'secret.git')]);
    // The mirror of another target, with the commit that the submodule is to have.
    await source.resolve('library', library.folder, 'v1');
    // What is committed to the shop, and lies in the folder in which it is checked out.
    execFileSync('git', ['init', '-q', '--bare', join(shop.folder, 'held')]);
    const borrowed = join(folder, 'mirrors/library.git/objects\n');
    writeFileSync(join(shop.folder, 'held/objects/info/alternates'), borrowed);
    const borrowing = join(folder, 'borrowing.git');
    execFileSync('git', ['clone', '-q', '--bare', '--shared', library.folder, borrowing]);
    execFileSync('git', ['clone', '-q', '--bare', library.folder, join(folder, 'linking.git')]);
    renameSync(join(folder, 'linking.git/objects'), join(outside, 'objects'));
    symlinkSync(join(outside, 'objects'), join(folder, 'linking.git/objects'));
    execFileSync('git', ['clone', '-q', library.folder, join(folder, 'released/library')]);
    other = await httpRemote(folder);
    home = mkdtempSync(join(outside, 'home-'));
    process.env.HOME = home;
    process.env.no_proxy = '127.0.0.1';
  });
  afterEach(() => config(''));
  afterAll(async () => {
    Object.assign(process.env, before);
    await other.stop();
    rmSync(outside, { recursive: true, force: true });
  });
  let number = 0;
  const taken = async (url: string, origin: Partial<Origin> = {}) => {
    const tag = `elsewhere-${++number}`;
    await withSubmodule('lib', url, tag);
    const commit = await source.resolve('shop', shop.folder, tag);
    const into = join(folder, tag);
    const others = [{ name: 'vault', repository: join(folder, 'secret') }];
    const [closed, made] = [[join(folder, 'mirrors')], [join(folder, 'released')]];
    const from = { name: 'shop', repository: shop.folder, closed, made, others, ...origin };
    await source.checkout(from, commit, into);
    expect(shared(into)).toBe('');
    return readFileSync(join(into, 'lib/lib.txt'), 'utf8');
  };
  const at = (...parts: string[]) => join(folder, ...parts);

  it.each<[string, () => string, string, 'listing opens it' | 'nothing opens it']>([
    ['the mirror of another target', () => at('mirrors/library.git'), 'state directory', 'nothing opens it'],
    ['the same, relative', () => '../mirrors/library.git', 'state directory', 'nothing opens it'],
    ['the same, as a URL', () => `file://${at('mirrors/library')}`, 'state directory', 'nothing opens it'],
    ['encoded', () => `file://${at('%6dirrors/library.git')}`, 'state directory', 'nothing opens it'],
    [
      'a repository of this host',
      () => join(outside, 'library'),
      'a folder of this host',
      'listing opens it',
    ],
    ['the same, as a URL', () => `file://${outside}/library`, 'a folder of this host', 'listing opens it'],
    ['the same, behind a link', () => at('link'), 'a folder of this host', 'listing opens it'],
    ['the same, relative', () => `../../${basename(outside)}/library`, 'a folder', 'listing opens it'],
    ['of another target', () => '../secret', 'the repository of the target vault', 'listing opens it'],
    ['files that are committed', () => './held', 'files that another repository holds', 'listing opens it'],
    ['borrowed objects', () => '../borrowing', 'borrows objects from another', 'listing opens it'],
    ['a link in it', () => '../linking', 'is a link', 'listing opens it'],
    ['what a build made', () => '../released/library', 'where builds', 'listing opens it'],
    ['another host', () => `${other.url}/library`, 'which the target does not name', 'listing opens it'],
    ['one that is not there', () => '../nothing', 'is no repository', 'nothing opens it'],
    ['behind what is not there', () => '../nothing/../library', 'is no repository', 'nothing opens it'],
    ['a command', () => 'ext::sh -c "touch /tmp/owned"', 'no address', 'nothing opens it'],
    ['a helper', () => 'http::http://127.0.0.1/library', 'no address', 'nothing opens it'],
    ['an option', () => '--upload-pack=touch', 'cannot be used', 'nothing opens it'],
    ['a remote of a name', () => 'vault', 'no address', 'nothing opens it'],
    ['what is read differently', () => 'http://a\\\\@127.0.0.1/library', 'no address', 'nothing opens it'],
    ['a way out', () => `${other.url}/x/%2E./library`, 'no address', 'nothing opens it'],
  ])('is refused: %s', async (_name, url, why, opens) => {
    config(`[remote "vault"]\n\turl = ${at('secret.git')}\n`);
    const before = other.asked.length;
    const message = await taken(url()).then(
      () => 'taken',
      (thrown: unknown) => (expect(thrown).toMatchObject({ code: 'not-whole' }), (thrown as Error).message),
    );
    expect(message).toContain(why);
    expect(message).toContain('lib');
    expect(other.asked.length).toBe(before);
    const [, list] = /submodules: (\[.*\])\.$/.exec(message) ?? [];
    expect(list !== undefined).toBe(opens === 'listing opens it');
    if (!list || url() === './held') return;
    expect(await taken(url(), { submodules: JSON.parse(list) as string[] })).toBe('of the library');
  });

  it('nor is it where listing says it', async () => {
    for (const url of ['../mirrors/library.git', 'ext::true'])
      await expect(taken(url, { submodules: ['/', url] })).rejects.toMatchObject({ code: 'not-whole' });
  });

  it('also by a submodule of a submodule, which is whole itself', async () => {
    const middle = await makeRepository(at('middle'));
    const inner = async (url: string) => {
      middle.write('.gitmodules', `[submodule "inner"]\n\tpath = inner\n\turl = ${url}\n`);
      const commit = (await git(['-C', library.folder, 'rev-parse', 'v1'])).trim();
      await git(['-C', middle.folder, 'update-index', '--add', '--cacheinfo', `160000,${commit},inner`]);
      mkdirSync(join(middle.folder, 'inner'), { recursive: true });
      await middle.commit('inner');
      const head = (await git(['-C', middle.folder, 'rev-parse', 'HEAD'])).trim();
      return [head, `nested-${++number}`] as const;
    };
    for (const [url, good] of [
      ['../library', true],
      [join(outside, 'library'), false],
    ] as const) {
      const [head, tag] = await inner(url);
      await withSubmodule('lib', '../middle', tag, head);
      if (!good)
        await expect(checkedOut(tag)).rejects.toMatchObject({
          code: 'not-whole',
          message: expect.stringContaining('lib/inner'),
        });
      else {
        const into = await checkedOut(tag);
        expect(readFileSync(join(into, 'lib/inner/lib.txt'), 'utf8')).toBe('of the library');
      }
    }
  });

  describe('by HTTP', () => {
    let remote: HttpRemote;
    beforeAll(async () => {
      const leads = (path: string) => {
        if (path.startsWith('/moved/')) return `${other.url}/library/.git/info/refs?service=git-upload-pack`;
        if (path.startsWith('/short/lib/')) return `${remote.url}${path.replace('lib', 'lib.git')}`;
        return undefined;
      };
      const lets = (path: string) => (path.startsWith('/private/') ? 'carla:sesame' : undefined);
      remote = await httpRemote(folder, { leads, lets });
      mkdirSync(at('private'));
      execFileSync('git', ['clone', '-q', '--bare', library.folder, at('private/lib.git')]);
      mkdirSync(at('short'));
      execFileSync('git', ['clone', '-q', '--bare', library.folder, at('short/lib.git')]);
    });
    afterAll(() => remote.stop());
    const by = (login = '') => ({ repository: `${remote.url.replace('://', `://${login}`)}/shop/.git` });

    it('comes from the same host, as the same person, also where a name lacks its ending', async () => {
      const absolute = ['library/.git', 'short/lib', 'private/lib.git'].map(
        (path) => `${remote.url}/${path}`,
      );
      for (const url of ['../../library/.git', '../../private/lib.git', ...absolute])
        expect(await taken(url, by('carla:sesame@'))).toBe('of the library');
    });

    it.each<[string, () => string, string, string]>([
      ['another port', () => `${other.url}/library/.git`, '', 'which the target does not name'],
      ['a folder of this host', () => library.folder, '', 'a folder of this host'],
      [
        'another login',
        () => `${remote.url.replace('://', '://bob@')}/library/.git`,
        '',
        'with another login',
      ],
      [
        'what the configuration leads elsewhere',
        () => `${remote.url}/lib/library`,
        `[url "file://FOLDER/"]\n\tinsteadOf = REMOTE/lib/\n`,
        'a folder of this host',
      ],
      [
        'what the configuration has credentials for',
        () => `${remote.url}/library/.git`,
        `[credential "REMOTE/library"]\n\tusername = bob\n`,
        'other credentials',
      ],
      [
        'what the configuration has a header for',
        () => `${remote.url}/library/.git`,
        `[http "REMOTE/library"]\n\textraHeader = Authorization: Basic Ym9i\n`,
        'other credentials',
      ],
      [
        'where credentials belong to a path',
        () => `${remote.url}/library/.git`,
        `[credential]\n\tuseHttpPath = true\n`,
        'other credentials',
      ],
    ])('is refused: %s', async (_name, url, text, why) => {
      config(text.replace('FOLDER', folder).replace('REMOTE', remote.url));
      const before = other.asked.length;
      remote.asked.length = 0;
      await expect(taken(url(), by())).rejects.toMatchObject({
        code: 'not-whole',
        message: expect.stringContaining(why),
      });
      expect([other.asked.length, remote.asked]).toEqual([before, []]);
    });

    it('gets nothing that the configuration has for a remote of its address', async () => {
      writeFileSync(join(home, 'more'), '[http]\n\textraHeader = Authorization: Basic Ym9i\n');
      config(
        `[includeIf "hasconfig:remote.*.url:${remote.url}/library/**"]\n\tpath = ${join(home, 'more')}\n`,
      );
      remote.asked.length = 0;
      expect(await taken(`${remote.url}/library/.git`, by())).toBe('of the library');
      expect(remote.asked.filter(({ login }) => login !== undefined)).toEqual([]);
    });

    it('follows a server nowhere', async () => {
      const before = other.asked.length;
      await expect(taken(`${remote.url}/moved/lib`, by())).rejects.toMatchObject({
        code: 'repository-unreachable',
        message: expect.stringContaining('The server leads to another address'),
      });
      expect(other.asked.length).toBe(before);
    });
  });
});

it('an address with a password leaves none of it in the checkout', async () => {
  await withSubmodule('lib', '../library', 'secretive');
  const commit = await source.resolve('shop', shop.folder, 'secretive');
  const into = join(folder, 'at-secret');
  // As a local address with a user in it: git takes what stands before the path for a host, so that it fails at the end.
  await source
    .checkout({ name: 'shop', repository: `http://carla:sesame@127.0.0.1:1/shop` }, commit, into)
    .catch(() => undefined);
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
  expect(shared(into)).toBe('');

  // The same in a submodule.
  const head = at('rev-parse', 'stored').toString().trim();
  await withSubmodule('lib', '../shop', 'stored-below', head);
  const below = await checkedOut('stored-below');
  expect(readFileSync(join(below, 'lib/real.bin'), 'utf8')).toBe('the content');
  expect(shared(below)).toBe('');

  for (const [n, [key, url, why]] of [
    ['lfs.url', 'http://127.0.0.1:1/elsewhere', 'which the target does not name'],
    ['lfs.url', `file://${folder}/mirrors/shop.git`, 'state directory'],
    ['remote.origin.lfsurl', 'ssh://git@127.0.0.1/elsewhere', 'which the target does not name'],
  ].entries()) {
    at('config', '-f', '.lfsconfig', key!, url!);
    at('add', '.lfsconfig');
    at('commit', '-qm', 'elsewhere');
    at('tag', `lfs-${n}`);
    await expect(checkedOut(`lfs-${n}`)).rejects.toMatchObject({
      code: 'not-whole',
      message: expect.stringMatching(new RegExp(`${key}.*${why}`)),
    });
    at('rm', '-q', '.lfsconfig', '-f');
  }
});
