import { bindsTo, boundTo, buildRecipe, targetRecipe, type Bound } from '../../db/digest';
import { parseTargets, type TargetConfig } from '../../domain/config';

/** What an approval binds to, and what decides a build: two digests, kept apart. */
const target = parseTargets(
  `targets:
  shop:
    repository: /r
    build: { argv: [make], output: dist }
    driver: { kind: command, root: /d, swap: { argv: [swap] }, restore: { argv: [restore] }, observe: { argv: [observe] } }
    backup: { kind: files, paths: [/data] }
    migrate: { argv: [migrate] }
    health: { kind: http, url: "http://127.0.0.1:1/" }
    secrets: { API_KEY: { env: KEY } }`,
  'test',
).get('shop')!;
const { build, driver, backup, migrate, health } = target;
if (driver.kind !== 'command' || backup.kind !== 'files') throw new Error('another target');

/** Of each setting: whether an approval binds to it, and whether it decides what is built. */
const table: [string, Partial<TargetConfig>, boolean, boolean][] = [
  ['the build command', { build: { ...build, argv: ['make', 'all'] } }, true, true],
  ['its output', { build: { ...build, output: 'out' } }, true, true],
  ['a secret by name', { secrets: { ...target.secrets, OTHER: { env: 'KEY' } } }, true, true],
  ['where a secret is read', { secrets: { API_KEY: { env: 'OTHER' } } }, false, false],
  ['how long a build may take', { build: { ...build, timeoutSeconds: 7 } }, false, false],
  ['how large a release may be', { build: { ...build, maxBytes: 7 } }, false, false],
  ['the migration', { migrate: { ...migrate!, argv: ['migrate', '--all'] } }, true, false],
  ['no migration', { migrate: undefined }, true, false],
  ['whether data goes back', { migrate: { ...migrate!, restoreDataOnRollback: true } }, true, false],
  ['the swap hook', { driver: { ...driver, swap: { ...driver.swap, argv: ['other'] } } }, true, false],
  [
    'the restore hook',
    { driver: { ...driver, restore: { ...driver.restore, argv: ['other'] } } },
    true,
    false,
  ],
  [
    'the observe hook',
    { driver: { ...driver, observe: { ...driver.observe, argv: ['other'] } } },
    true,
    false,
  ],
  [
    'how long a hook may take',
    { driver: { ...driver, swap: { ...driver.swap, timeoutSeconds: 7 } } },
    false,
    false,
  ],
  [
    'a reload',
    { driver: { kind: 'directory', root: '/d', keepReleases: 5, reload: driver.swap } },
    true,
    false,
  ],
  ['what is asked for health', { health: { ...health, url: 'http://127.0.0.1:2/' } }, true, false],
  ['what counts as healthy', { health: { ...health, version: 'none' } }, true, false],
  ['how often it must be healthy', { health: { ...health, successes: 1 } }, true, false],
  ['how long health is waited for', { health: { ...health, deadlineSeconds: 7 } }, false, false],
  ['what is backed up', { backup: { ...backup, paths: ['/other'] } }, true, false],
  ['how long a backup is kept', { backup: { ...backup, keepDays: 1 } }, true, false],
  ['what builds and hooks are kept from', { sandbox: 'none' }, true, false],
  ['from where submodules come', { submodules: ['https://git.example.org/'] }, true, true],
  ['that builds need a sandbox', { requireSandbox: true }, true, false],
  ['the environment', { environment: 'test' }, false, false],
  ['a switch that is off', { promotionsEnabled: false }, false, false],
];
it.each(table)('%s', (_name, more, binds, builds) => {
  const other = { ...target, ...more };
  expect(targetRecipe(other) !== targetRecipe(target)).toBe(binds);
  expect(buildRecipe(other) !== buildRecipe(target)).toBe(builds);
});

const migrates = { ...target, migrate: undefined };
const builds = { ...target, build: { ...build, argv: ['other'] } };
const by = (bound: Bound, there: string[] = []) =>
  [target, migrates, builds].map((now) => bindsTo(bound, now, there));

it('approvals bind to all that acts; those of earlier versions to what was noted then', () => {
  expect(by(boundTo(target, []))).toEqual([true, false, false]);
  expect(by({ recipe: '', acts: null })).toEqual([true, true, true]);
  expect(by({ recipe: buildRecipe(target), acts: null })).toEqual([true, true, false]);
  // As one of them did that was never released alone.
  expect(by({ recipe: targetRecipe(target), acts: null })).toEqual([true, false, false]);
  // An earlier version at work beside this one compares how it builds alone.
  expect(boundTo(target, []).recipe).toBe(buildRecipe(target));
});

it('and to how the runner acts that was there; one that does not say it is believed, as before', () => {
  const [one, other] = ['1'.repeat(64), '2'.repeat(64)];
  const bound = boundTo(target, [one]);
  expect([[one], [other], [other, one], []].map((there) => by(bound, there)[0])).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(by(bound, [one])).toEqual([true, false, false]);
  expect(by(boundTo(target, []), [other])[0]).toBe(true);
});

it('the digests of a given target stay as they are: an upgrade that changes them voids every approval', () => {
  expect(buildRecipe(target)).toBe('880c462beefff020dd4825debed73a08aa7d5cc23fc2e370b4cf2862ec087973');
  expect(targetRecipe(target)).toBe('5288105eae94985de65154ad71548a8f79b2d59557e1aee71300932bc89c3d01');
});
