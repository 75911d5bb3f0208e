import { parseTargets } from '../../domain/config';

const good = `
targets:
  shop:
    repository: ../shop.git
    build: { argv: [npm, run, build] }
    driver: { kind: directory, root: /srv/shop }
    backup: { kind: files, paths: [/srv/shop-data] }
    health: { kind: http, url: "http://127.0.0.1:8080/health" }
`;

it('takes a target with only what it needs, and fills in the rest', () => {
  const shop = parseTargets(good, 'file.yaml').get('shop')!;
  expect(shop).toMatchObject({
    name: 'shop',
    environment: 'production',
    promotionsEnabled: true,
    build: { output: 'dist', timeoutSeconds: 1800 },
    driver: { keepReleases: 5 },
    health: { version: 'release', successes: 3, deadlineSeconds: 60 },
    secrets: {},
  });
});

/** What is written wrong -> the path, what was found and what is allowed. */
it.each([
  [
    'a command as text',
    ['argv: [npm, run, build]', 'argv: npm run build'],
    'targets.shop.build.argv',
    '"npm run build"',
    'without a shell',
  ],
  ['an empty command', ['[npm, run, build]', '[]'], 'targets.shop.build.argv', '[]', 'at least the program'],
  [
    'an unknown field',
    ['kind: directory,', 'kind: directory, rooot: x,'],
    'targets.shop.driver',
    'rooot',
    'allowed: kind, root',
  ],
  [
    'an unknown driver',
    ['kind: directory', 'kind: docker'],
    'targets.shop.driver.kind',
    '"docker"',
    '"directory"',
  ],
  [
    'no address',
    ['"http://127.0.0.1:8080/health"', 'shop'],
    'targets.shop.health.url',
    '"shop"',
    'http or https',
  ],
  ['another scheme', ['http://', 'file://'], 'targets.shop.health.url', '"file://', 'http or https'],
  [
    'a missing part',
    ['    backup: { kind: files, paths: [/srv/shop-data] }\n', ''],
    'targets.shop.backup',
    'nothing',
    '',
  ],
  ['a bad name', ['  shop:', '  Shop!:'], 'targets.Shop!', '', 'lower-case'],
  [
    'an output outside',
    ['[npm, run, build]', '[npm], output: ../x'],
    'targets.shop.build.output',
    '"../x"',
    'inside the repository',
  ],
  [
    'a repository that is an option',
    ['../shop.git', '--upload-pack=x'],
    'targets.shop.repository',
    '"--upload-pack=x"',
    'dash',
  ],
  [
    'an address of submodules that git may read otherwise',
    ['../shop.git', '../shop.git\n    submodules: ["https://a\\\\@b/"]'],
    'targets.shop.submodules.0',
    'https://a',
    'an address such as https://git.example.org/shared/, or a folder',
  ],
  [
    'a negative time',
    ['[npm, run, build]', '[npm], timeoutSeconds: -1'],
    'targets.shop.build.timeoutSeconds',
    '-1',
    'more than 0',
  ],
  ['text instead of a map', [good, 'just text'], 'the whole', '"just text"', ''],
])('says where, what was found and what is allowed: %s', (_name, [from, to], path, found, allowed) => {
  expect(good).toContain(from);
  let message = '';
  try {
    parseTargets(good.replace(from!, to!), 'file.yaml');
  } catch (thrown) {
    message = (thrown as Error).message;
  }
  expect(message).toContain('file.yaml');
  expect(message).toContain(path);
  expect(message).toContain(found);
  expect(message).toContain(allowed);
});

it('names the line of what is not YAML', () => {
  expect(() => parseTargets('targets: [', 'file.yaml')).toThrow(/not valid YAML[^]*line 1/);
});

it('refuses aliases of aliases by the name of the file', () => {
  const twice = ['b', 'c', 'd', 'e', 'f'].map(
    (name, n) => `${name}: &${name} [${Array(9).fill(`*${'abcde'[n]}`).join()}]`,
  );
  const file = `a: &a [${'x,'.repeat(9)}]\n${twice.join('\n')}\ntargets: *f\n`;
  expect(() => parseTargets(file, 'file.yaml')).toThrow(
    /^file.yaml is not valid YAML:\nExcessive alias count/,
  );
});
