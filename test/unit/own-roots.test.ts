import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '../../cli/settings';

/** A root belongs to one target: what two of them switch and tidy up has no lane in common. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-roots-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function read(roots: Record<string, string>, more = ''): () => unknown {
  const file = join(folder, 'signalbox.config.yaml');
  const targets = Object.entries(roots).map(
    ([name, root]) => `  ${name}:
    repository: ./repo
    build: { argv: [make] }
    driver: { kind: directory, root: ${root} }
    backup: { kind: files, paths: [./data] }
    health: { kind: http, url: "http://127.0.0.1:8080/" }
${more}`,
  );
  writeFileSync(file, `targets:\n${targets.join('')}`);
  return () => readConfig(file);
}

it.each([
  ['the same', 'srv/site', 'srv/site'],
  ['the same, written otherwise', 'srv/site', './srv/x/../site/'],
  ['one by a link', 'srv/site', 'link/site'],
  ['among the releases of another', 'srv/site', 'srv/site/releases/blog'],
  ['where another is current', 'srv/site', 'srv/site/current'],
  ['in what Signalbox keeps there', 'srv/site/.signalbox/blog', 'srv/site'],
  ['among the releases of another, by a link', 'srv/site', 'link/site/releases/blog'],
])('two targets whose roots are %s are refused, and both are named', (_, shop, blog) => {
  mkdirSync(join(folder, 'srv'));
  symlinkSync('srv', join(folder, 'link'));
  expect(read({ shop, blog })).toThrow(/(shop.*blog|blog.*shop)/);
  expect(read({ shop, blog })).toThrow('Give each a folder of its own.');
});

it.each([
  ['beside each other', 'srv/site', 'srv/site2'],
  ['one in a folder of the other that Signalbox leaves alone', 'srv', 'srv/site'],
])('roots that are %s are taken', (_, shop, blog) => {
  expect(read({ shop, blog })).not.toThrow();
});

it('targets with runners lie on hosts of their own', () => {
  expect(read({ shop: '/srv/site', blog: '/srv/site' }, '    runner: {}\n')).not.toThrow();
});
