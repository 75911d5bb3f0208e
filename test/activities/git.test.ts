import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSource, git, GitError, type Source } from '../../activities/git';
import { makeRepository, type Repository } from '../helpers/repository';

/** Reading a repository that may mean harm. */
let folder: string;
let repository: string;
let commit: Repository['commit'];
let source: Source;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-git-'));
  repository = join(folder, 'repo');
  ({ commit } = await makeRepository(repository));
  mkdirSync(join(repository, '.githooks'));
  const hook = join(repository, '.git/hooks/post-checkout');
  writeFileSync(hook, `#!/bin/sh\ntouch ${join(folder, 'hook-ran')}\n`);
  chmodSync(hook, 0o755);
  writeFileSync(
    join(repository, '.gitmodules'),
    '[submodule "s"]\n\tpath = s\n\turl = ext::sh -c "touch /tmp/owned"\n',
  );
  writeFileSync(join(repository, 'a.txt'), 'one');
  await commit('one', 'v1');
  await commit('two');
  await git(['-C', repository, 'tag', '-a', '-m', 'annotated', 'v2']);
  source = createSource(join(folder, 'mirrors'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('resolves tags (annotated too), branches and commits to a commit', async () => {
  const v1 = await source.resolve('t', repository, 'v1');
  expect(v1).toMatch(/^[0-9a-f]{40}$/);
  expect(await source.resolve('t', repository, v1.slice(0, 10))).toBe(v1);
  expect(await source.resolve('t', repository, 'v2')).toBe(await source.resolve('t', repository, 'main'));
  for (const name of ['tags/v1', 'refs/tags/v1', v1, v1.toUpperCase()])
    expect(await source.resolve('t', repository, name)).toBe(v1);
  await expect(source.resolve('t', repository, `v0-1-g${v1.slice(0, 10)}`)).rejects.toMatchObject({
    code: 'unknown-revision',
  });
  expect(await source.resolve('t', repository, 'refs/heads/main')).toBe(
    await source.resolve('t', repository, 'heads/main'),
  );
});

it('ends a git that prints without end, and one that computes without end', async () => {
  const doing = (what: string) => ['-c', `alias.x=!${what}`, '-C', repository, 'x'];
  const limits = { limitMs: 60_000, signal: AbortSignal.timeout(50_000) };
  await expect(git(doing('yes'), limits)).rejects.toThrow('it printed more than 64 MiB, so it was ended');
  await expect(git(doing('while :; do :; done'), { limitMs: 500 })).rejects.toThrow('it was not done after');
});

it('takes a name that looks like a hash for a name', async () => {
  await git(['-C', repository, 'tag', 'abcdef', 'v1']);
  expect(await source.resolve('t', repository, 'abcdef')).toBe(await source.resolve('t', repository, 'v1'));
  await git(['-C', repository, 'tag', '-d', 'abcdef']);
});

it('sees what was pushed since', async () => {
  await commit('three');
  await git(['-C', repository, 'tag', 'v3']);
  expect(await source.resolve('t', repository, 'v3')).toMatch(/^[0-9a-f]{40}$/);
});

it.each([
  ['v4', 'Nearest: v1, v2, v3'],
  ['mian', 'Nearest: main'],
  // Files of the mirror, and what `git describe` says, name nothing.
  ['HEAD', 'no revision'],
  ['FETCH_HEAD', 'no revision'],
  ['config', 'no revision'],
  ['v1-0-gabcdef', 'no revision'],
])('an unknown revision %s is told with the nearest names', async (revision, told) => {
  await expect(source.resolve('t', repository, revision)).rejects.toMatchObject({
    code: 'unknown-revision',
    message: expect.stringContaining(told),
  });
});

it.each([
  ...[
    '--output=/tmp/owned',
    '-h',
    'v1:a.txt',
    ':a.txt',
    ':/',
    ':/one',
    'v1^{/one}',
    'v1^{tree}',
    'v1~1',
    'v1^',
  ],
  ...[
    '^v1',
    'v1..v2',
    'v1...v2',
    'v1^!',
    'v1^@',
    '@',
    '@{-1}',
    'main@{1 day ago}',
    'main@{u}',
    '--all',
    '--glob=*',
  ],
  ...[
    'v*',
    'v[1]',
    'a b',
    'v1\u0000',
    '../v1',
    'refs/heads/../../config',
    '/v1',
    'v1/',
    'v1.lock',
    '.v1',
    'v1.',
  ],
])('what is no name and no hash is refused, and git never evaluates it: %s', async (revision) => {
  await expect(source.resolve('t', repository, revision)).rejects.toMatchObject({
    code: 'invalid-input',
    message: expect.stringContaining('name a tag, a branch or a commit'),
  });
});

it.each(['/no/such/repository', 'ext::sh -c "touch /tmp/owned"'])(
  'a repository that can not be read: %s',
  async (where) => {
    await expect(source.resolve('u', where, 'v1')).rejects.toMatchObject({ code: 'repository-unreachable' });
    expect(existsSync('/tmp/owned')).toBe(false);
  },
);

const asRoot = process.getuid?.() === 0 ? it : it.skip;
asRoot('a repository of another user is read where the operator says so, and it says how', async () => {
  const whose = join(folder, 'whose');
  cpSync(repository, whose, { recursive: true });
  execFileSync('chown', ['-R', '60599', whose]);
  const before = process.env.HOME;
  process.env.HOME = mkdtempSync(join(folder, 'home-'));
  try {
    const said = await source.resolve('whose', whose, 'v1').catch((thrown: Error) => thrown.message);
    const [, advice] = /git (config --global --add safe.directory \S+)\. git says/.exec(said)!;
    expect(said).toContain('belongs to another user');
    execFileSync('git', advice!.split(' '), { env: { ...process.env } });
    expect(await source.resolve('whose', whose, 'v1')).toMatch(/^[0-9a-f]{40}$/);
  } finally {
    process.env.HOME = before;
  }
});

it('opens nothing of this host that a link of the repository names', async () => {
  const silent = join(folder, 'silent');
  execFileSync('mkfifo', [silent]);
  const linking = await makeRepository(join(folder, 'linking'));
  linking.write('.gitattributes', 'x filter=lfs\n');
  symlinkSync(silent, join(linking.folder, 'x'));
  await linking.commit('one', 'v1');
  const v1 = await source.resolve('linking', linking.folder, 'v1');
  await source.checkout({ name: 'linking', repository: linking.folder }, v1, join(folder, 'linked'));
  expect(existsSync(join(folder, 'linked', '.gitattributes'))).toBe(true);
});

it('checks out clean, side by side; no hook runs, no submodule is fetched', async () => {
  const v1 = await source.resolve('t', repository, 'v1');
  const into = join(folder, 'work');
  mkdirSync(into);
  writeFileSync(join(into, 'left over'), '');
  await source.checkout({ name: 't', repository: repository }, v1, into);
  expect(readdirSync(into).sort()).toEqual(['.git', '.gitmodules', 'a.txt']);
  const names = ['w1', 'w2', 'w3'].map((name) => join(folder, name));
  await Promise.all(names.map((name) => source.checkout({ name: 't', repository: repository }, v1, name)));
  for (const name of names) expect(existsSync(join(name, 'a.txt'))).toBe(true);
  expect(existsSync(join(folder, 'hook-ran'))).toBe(false);
});

describe('a commit that is no longer in the repository', () => {
  let gone: string;
  const fresh = () => createSource(mkdtempSync(join(folder, 'mirrors-')));
  beforeAll(async () => {
    const inside = ['-C', repository];
    await git([...inside, 'checkout', '-q', '-b', 'short-lived']);
    await commit('gone');
    gone = (await git([...inside, 'rev-parse', 'HEAD'])).trim();
    await git([...inside, 'checkout', '-q', 'main']);
    await git([...inside, 'branch', '-qD', 'short-lived']);
    await git([...inside, 'reflog', 'expire', '--expire=now', '--all']);
    await git([...inside, 'gc', '-q', '--prune=now']);
  });

  it('is named, with what to do', async () => {
    const said = {
      code: 'commit-gone',
      message: `The repository of t no longer has commit ${gone}: its branch was deleted or force-pushed. Ship the revision again, or push the commit back and retry.`,
    };
    await expect(
      fresh().checkout({ name: 't', repository: repository }, gone, join(folder, 'w4')),
    ).rejects.toMatchObject(said);
    await expect(fresh().compare('t', repository, null, gone)).rejects.toMatchObject(said);
  });

  it('is not said of a repository that is away, nor by a git that was killed before it could look', async () => {
    const away = fresh().checkout({ name: 't', repository: `${repository}-away` }, gone, join(folder, 'w5'));
    await expect(away).rejects.toMatchObject({ code: 'repository-unreachable' });
    const bin = mkdtempSync(join(folder, 'bin-'));
    const real = (process.env.PATH ?? '').split(':').find((part) => existsSync(join(part, 'git')))!;
    writeFileSync(
      join(bin, 'git'),
      `#!/bin/sh\ncase "$*" in *rev-parse*) kill -9 $$;; esac\nexec ${join(real, 'git')} "$@"\n`,
      { mode: 0o755 },
    );
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    try {
      const killed = fresh().checkout({ name: 't', repository: repository }, gone, join(folder, 'w6'));
      await expect(killed).rejects.toThrow(GitError);
    } finally {
      process.env.PATH = path;
    }
  });
});
