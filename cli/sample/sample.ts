import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { stringify } from 'yaml';
import { git } from '../../activities/git';

export const sampleConfigFile = (stateDir: string) => join(stateDir, 'sample', 'signalbox.config.yaml');

/** Whether a root is that of a sample; a state directory may have been moved since it was noted. */
export const isSampleRoot = (root: string) => root.endsWith(join(sep, 'sample', 'shop'));

/**
 * The sample target `shop`: a small repository of its own with the tags `v1`, `v2` and `broken`, the folder it
 * is deployed to, and its data. Everything lies under `sample/` in the state directory.
 */
export interface Sample {
  configFile: string;
  root: string;
  orders: string;
}

export async function makeSample(stateDir: string, sitePort: number): Promise<Sample> {
  const home = join(stateDir, 'sample');
  const repository = join(home, 'shop.git');
  const root = join(home, 'shop');
  const data = join(home, 'shop-data');
  await mkdir(root, { recursive: true });
  await mkdir(data, { recursive: true });
  const orders = join(data, 'orders.jsonl');
  if (!existsSync(orders))
    await writeFile(orders, '{"at":"2026-01-01T00:00:00.000Z","note":"the first order"}\n');
  if (!existsSync(repository)) await makeRepository(home, repository);

  const configFile = sampleConfigFile(stateDir);
  const config = {
    targets: {
      shop: {
        environment: 'sample',
        repository,
        build: { argv: [process.execPath, 'build.js'], output: 'dist', timeoutSeconds: 120 },
        driver: { kind: 'directory', root, keepReleases: 5 },
        backup: { kind: 'files', paths: [data] },
        health: {
          kind: 'http',
          url: `http://127.0.0.1:${sitePort}/health`,
          version: 'release',
          successes: 3,
          intervalMs: 200,
          deadlineSeconds: 5,
        },
      },
    },
  };
  await writeFile(
    configFile,
    `# Written by "signalbox up" at every start. Your own targets go into a file of your own: --config FILE.\n${stringify(config)}`,
  );
  return { configFile, root, orders };
}

async function makeRepository(home: string, repository: string): Promise<void> {
  const work = await mkdtemp(join(home, 'making-'));
  const folder = join(work, 'shop');
  const at = (...args: string[]) =>
    git([
      '-C',
      folder,
      '-c',
      'user.name=Sample',
      '-c',
      'user.email=sample@localhost',
      '-c',
      'commit.gpgsign=false',
      ...args,
    ]);
  await git(['init', '--quiet', '--initial-branch=main', folder]);
  for (const { tag, message, files } of versions) {
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    await at('add', '--all');
    await at('commit', '--quiet', '--message', message);
    await at('tag', tag);
  }
  await git(['clone', '--quiet', '--bare', folder, join(work, 'shop.git')]);
  await rename(join(work, 'shop.git'), repository);
  await rm(work, { recursive: true, force: true });
}

const buildScript = `// Makes dist/ out of the sources; prints what it does.
const fs = require('node:fs');
fs.mkdirSync('dist', { recursive: true });
for (const name of ['catalogue.json', 'version.txt']) {
  fs.copyFileSync(name, 'dist/' + name);
  console.log('copied ' + name);
}
const version = fs.readFileSync('version.txt', 'utf8').trim();
const title = 'Lantern & Rail, ' + version;
fs.writeFileSync('dist/index.html', '<!doctype html><meta charset="utf-8"><title>' + title + '</title><h1>' + title + '</h1>');
console.log('made index.html for ' + version);
`;
const catalogue = (items: string[]) =>
  `${JSON.stringify({ items: items.map((name) => ({ name })) }, null, 2)}\n`;
const versions = [
  {
    tag: 'v1',
    message: 'Open the shop',
    files: {
      'build.js': buildScript,
      'version.txt': 'v1\n',
      'catalogue.json': catalogue(['Signal lantern', 'Whistle']),
    },
  },
  {
    tag: 'v2',
    message: 'Sell timetables too',
    files: { 'version.txt': 'v2\n', 'catalogue.json': catalogue(['Signal lantern', 'Whistle', 'Timetable']) },
  },
  {
    tag: 'broken',
    message: 'Edit the catalogue by hand (and lose a bracket)',
    files: {
      'version.txt': 'broken\n',
      'catalogue.json': '{ "items": [ { "name": "Signal lantern" }, { "name": "Whistle" \n',
    },
  },
];
