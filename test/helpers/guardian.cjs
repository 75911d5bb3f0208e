// Whatever a run of the tests starts ends with it, however it ends: interrupted, killed, timed out.
//
// A run writes and works below one folder. Each owner in it (the runner, or one test file) has a folder that is named
// for its process, `<what>-<pid>-<start>`, and is its TMPDIR. A process belongs to a folder when it works below it, or
// names it in its arguments or environment: its children inherit that, in whatever process group or session they are.
// The guardian, a process in a session of its own, looks several times a second whether the owners live. When one does
// not, everything that belongs to its folder is killed and the folder is removed.
'use strict';
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const { tmpdir } = require('node:os');
const { basename, join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const lookEveryMs = 200;
/** The folder of the run, for the processes it starts. */
const variable = 'SIGNALBOX_TEST_RUN';

/** What /proc says of a process, after its name: state first. Nothing where there is no /proc, or no such process. */
function statOf(pid) {
  try {
    const text = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}
/** Tells a process from a later one with the same number. */
const startOf = (pid) => statOf(pid)[19] ?? '';

function isAlive(pid, start) {
  try {
    process.kill(pid, 0);
  } catch (thrown) {
    if (thrown.code !== 'EPERM') return false;
  }
  return startOf(pid) === start && statOf(pid)[0] !== 'Z';
}

/** Makes a folder that this process owns. */
function own(what, parent) {
  const folder = join(parent, `${what}-${process.pid}-${startOf(process.pid)}`);
  fs.mkdirSync(folder, { recursive: true });
  // Other users' processes work here too, as they do in /tmp.
  fs.chmodSync(folder, 0o1777);
  return folder;
}
function ownerLives(folder) {
  const [, pid, start] = /-(\d+)-(\d*)$/.exec(folder) ?? [];
  return pid === undefined || isAlive(Number(pid), start);
}

/** Begins a run with its guardian, unless this process was started by one. @returns the folder of the run. */
function beginRun() {
  let run = process.env[variable];
  if (run) return run;
  run = own('signalbox-run', fs.realpathSync(tmpdir()));
  spawn(process.execPath, [__filename, run], {
    detached: true,
    stdio: 'ignore',
    cwd: '/',
    env: { PATH: process.env.PATH },
  }).unref();
  process.env[variable] = run;
  return run;
}

/** Whatever this process starts and writes from now on belongs to it. @returns its folder. */
function takePart(what) {
  return (process.env.TMPDIR = own(what, beginRun()));
}

/** Whether a text names the folder itself or something below it; not one whose number only begins alike. */
function names(text, folder) {
  for (let at = text.indexOf(folder); at >= 0; at = text.indexOf(folder, at + 1))
    if (!/\d/.test(text.charAt(at + folder.length))) return true;
  return false;
}

/** The living processes that belong to a folder: number and command line. */
function belongingTo(folder) {
  if (!fs.existsSync('/proc/self/environ')) {
    const { stdout } = spawnSync('ps', ['-axwwE', '-o', 'pid=,command='], { encoding: 'utf8' });
    return stdout
      .split('\n')
      .filter((line) => names(line, folder))
      .map((line) => ({ pid: Number.parseInt(line, 10), args: line.trim().slice(0, 300) }))
      .filter(({ pid }) => pid !== process.pid);
  }
  const read = (file) => {
    try {
      return file.endsWith('/cwd') ? fs.readlinkSync(file) : fs.readFileSync(file, 'latin1');
    } catch {
      // It has ended, or is another user's.
      return '';
    }
  };
  const found = [];
  for (const pid of fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    if (pid === process.pid || statOf(pid)[0] === 'Z') continue;
    const args = read(`/proc/${pid}/cmdline`);
    if ([args, read(`/proc/${pid}/cwd`), read(`/proc/${pid}/environ`)].some((text) => names(text, folder)))
      found.push({ pid, args: args.replaceAll('\0', ' ').trim().slice(0, 300) });
  }
  return found;
}

/** Kills whatever belongs to a folder, until nothing does: what is killed may just have started another. */
async function endAll(folder) {
  for (let left = belongingTo(folder); left.length > 0; left = belongingTo(folder)) {
    for (const { pid } of left)
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    await sleep(20);
  }
}
function remove(folder) {
  // A full disk is played by a small file system of its own.
  if (fs.existsSync('/proc/mounts'))
    for (const place of fs.readFileSync('/proc/mounts', 'utf8').match(/(?<= )\/\S+/g) ?? [])
      if (names(place, folder)) spawnSync('umount', ['-l', place]);
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

async function guard(run) {
  for (;;) {
    const over = !ownerLives(run);
    const orphans = over ? [run] : fs.readdirSync(run).map((name) => join(run, name));
    for (const folder of orphans.filter((folder) => !ownerLives(basename(folder)))) {
      await endAll(folder);
      remove(folder);
    }
    if (over) return;
    await sleep(lookEveryMs);
  }
}

module.exports = { own, beginRun, takePart, belongingTo, endAll, remove, variable };
if (require.main === module) void guard(process.argv[2]);
