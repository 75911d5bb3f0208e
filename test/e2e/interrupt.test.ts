import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanUp, newFolder, processesOf, program, startUp, until } from '../helpers/up';

/** Leaving `up` at awkward moments. */
afterEach(cleanUp);

it.each([
  ['while it starts', /Making the sample repository/],
  ['while the sample is deployed', /pressed Deploy Now/],
])('Ctrl-C %s stops everything', async (_when, moment) => {
  const up = await startUp({ ready: false });
  await up.says(moment);
  up.kill('SIGINT');
  expect(await up.ended).toBe(0);
  await until('nothing to be left', () => processesOf(up.state).length === 0);
});

it('a start after one that was stopped in the sample deployment takes it to its end in front of you', async () => {
  const first = await startUp({ ready: false });
  await first.says(/amir approved/);
  first.kill('SIGKILL');
  await first.ended;
  const second = await startUp({ state: first.state });
  await second.says('"version":"v1"');
  await second.says('CP-1.1: v1 is deployed to shop and healthy.');
  second.kill('SIGINT');
  expect(await second.ended).toBe(0);
});

it('a part that is killed while it starts is started again', async () => {
  const up = await startUp({ ready: false, args: ['--no-sample'] });
  const list = join(up.state, 'children.json');
  const temporal = await until('Temporal to be started', () => {
    if (!existsSync(list)) return undefined;
    const children = JSON.parse(readFileSync(list, 'utf8')) as { name: string; pid: number }[];
    return children.find(({ name }) => name === 'temporal')?.pid;
  });
  process.kill(temporal, 'SIGKILL');
  await up.says('temporal crashed while it started');
  await up.says('Signalbox is ready');
  up.kill('SIGINT');
  expect(await up.ended).toBe(0);
});

it('what Temporal left half made when it and up were killed in its first start is put aside', async () => {
  const state = join(newFolder(), 'state');
  const temporal = join(state, 'temporal');
  mkdirSync(temporal, { recursive: true });
  writeFileSync(join(temporal, 'first-start'), '');
  writeFileSync(join(temporal, 'temporal.db'), 'half of a database');
  const up = await startUp({ state, args: ['--no-sample'] });
  expect(readdirSync(temporal).filter((name) => name.startsWith('unfinished-'))).toHaveLength(1);
  up.kill('SIGINT');
  expect(await up.ended).toBe(0);
  expect(readdirSync(temporal)).not.toContain('first-start');
});

it('a reader that goes away takes nothing with it', async () => {
  const state = join(newFolder(), 'state');
  const child = spawn(
    'sh',
    [
      '-c',
      '"$1" "$2" up --state "$3" --port 0 --no-sample | head -1',
      'sh',
      process.execPath,
      program,
      state,
    ],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  child.stdout.resume();
  const endpoints = join(state, 'endpoints.json');
  await until('it to be ready', () => existsSync(endpoints));
  const pid = Number(readFileSync(join(state, 'up.lock'), 'utf8'));
  expect(processesOf(state).length).toBeGreaterThan(0);
  process.kill(pid, 'SIGTERM');
  await until('nothing to be left', () => processesOf(state).length === 0);
});
