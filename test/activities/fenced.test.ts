import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** Commands that change a target: each shows its fencing number there first. */
let folder: string;
let room: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'signalbox-fenced-'));
  room = join(folder, 'room');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = (fence: number, ...command: string[]) =>
  spawnSync(
    process.execPath,
    [
      resolve('activities/drivers/run-fenced.js'),
      JSON.stringify({ room, fence, by: `try ${fence}` }),
      ...(command.length
        ? command
        : [process.execPath, '-e', `require('fs').appendFileSync('${folder}/did', '${fence} ')`]),
    ],
    { encoding: 'utf8' },
  );
const did = () => (existsSync(join(folder, 'did')) ? readFileSync(join(folder, 'did'), 'utf8') : '');

it('runs under a number that is as high as any before, and again under the same', () => {
  expect(run(3).status).toBe(0);
  expect(run(3).status).toBe(0);
  expect(run(5).status).toBe(0);
  expect(did()).toBe('3 3 5 ');
});

it('changes nothing under a lower one, and says so', () => {
  run(5);
  const late = run(4);
  expect([late.status, late.stderr]).toEqual([
    77,
    'Fencing number 4 was refused: 5 has acted here. Nothing was changed.\n',
  ]);
  expect(did()).toBe('5 ');
});

it('notes who acted', () => {
  run(2);
  run(1);
  const journal = readFileSync(join(room, 'journal.jsonl'), 'utf8').trim().split('\n');
  expect(journal.map((line) => JSON.parse(line) as object)).toEqual([
    { at: expect.any(String), fence: 2, by: 'try 2' },
  ]);
});

it.each([
  ['its exit code', ['-e', 'process.exit(7)'], { status: 7, signal: null }],
  ['its signal', ['-e', "process.kill(process.pid, 'SIGKILL')"], { status: null, signal: 'SIGKILL' }],
])('ends as the command ends: %s', (_what, args, end) => {
  expect(run(1, process.execPath, ...args)).toMatchObject(end);
});

it('says when there is no such program', () => {
  expect(run(1, '/no/such/program')).toMatchObject({
    status: 127,
    stderr: expect.stringContaining('could not be started'),
  });
});

it.each([
  ['is empty', ''],
  ['was cut', '{"fence": 2'],
  ['holds none', '{"by": "CP-1.1 swap"}'],
  ['holds text', '{"fence": "26"}'],
  ['is missing beside a journal', undefined],
])('runs nothing when the number that acted last cannot be read: it %s', (_how, text) => {
  run(2);
  const file = join(room, 'fence.json');
  if (text === undefined) rmSync(file);
  else writeFileSync(file, text);
  const refused = run(3);
  expect(refused.status).not.toBe(0);
  expect(refused.stderr).toContain(`Write {"fence": N} into it, with N as high as the highest "fence" in`);
  expect(did()).toBe('2 ');
  // Done as it says, it goes on.
  writeFileSync(file, '{"fence": 2}');
  expect(run(3).status).toBe(0);
});

it('begins at nothing where nothing has acted', () => {
  mkdirSync(room);
  expect(run(1).status).toBe(0);
});

describe('guarded', () => {
  const live = () => join(folder, 'live');
  const guarded = (
    by: string,
    fence: number,
    over: string[],
    observe = `process.stdout.write(require('fs').readFileSync('${live()}', 'utf8'))`,
  ) => {
    const answer = join(folder, `answer-${fence}`);
    const guard = {
      over,
      answer,
      cwd: folder,
      observe: { argv: [process.execPath, '-e', observe], timeoutSeconds: 20 },
    };
    const input = JSON.stringify({ room, fence, by, guard });
    const command = [process.execPath, '-e', `require('fs').appendFileSync('${folder}/did', '${fence} ')`];
    const { status } = spawnSync(process.execPath, [
      resolve('activities/drivers/run-fenced.js'),
      input,
      ...command,
    ]);
    return {
      status,
      answer: existsSync(answer) ? (JSON.parse(readFileSync(answer, 'utf8')) as object) : undefined,
    };
  };

  it('runs when what may be live is live, and not when something else is', () => {
    writeFileSync(live(), 'one\n');
    expect(guarded('CP-1.1 swap', 1, ['one'])).toEqual({ status: 0 });
    writeFileSync(live(), 'warnings first\ntwo\n');
    expect(guarded('CP-1.1 swap', 2, ['one'])).toEqual({ status: 78, answer: { drifted: 'two' } });
    expect(did()).toBe('1 ');
  });

  it('reads what is live from a script that opens its output by name', () => {
    writeFileSync(live(), 'one\n');
    const script = `require('child_process').spawnSync('sh', ['-c', 'echo looking >>/dev/stdout; cat ${live()} >>/dev/stdout'], { stdio: 'inherit' })`;
    for (const fence of [1, 2]) expect(guarded('CP-1.1 swap', fence, ['one'], script)).toEqual({ status: 0 });
  });

  it('goes on when its own attempt was stopped half-way and left nothing live, and nobody else', () => {
    writeFileSync(live(), 'one');
    guarded('CP-1.1 swap', 1, ['one']);
    writeFileSync(live(), '');
    expect(guarded('CP-2.1 swap', 2, ['one'])).toEqual({ status: 78, answer: { drifted: '' } });
    expect(guarded('CP-1.1 undo-swap', 3, ['one'])).toEqual({ status: 0 });
    expect(did()).toBe('1 3 ');
  });

  it('runs nothing when nobody can say what is live', () => {
    expect(guarded('CP-1.1 swap', 1, [''], 'process.exit(3)')).toEqual({
      status: 78,
      answer: { fault: expect.stringContaining('could not say what is live: exit 3') },
    });
    expect(did()).toBe('');
  });
});
