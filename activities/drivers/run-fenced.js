'use strict';
/**
 * Runs a command that changes a target, unless a higher fencing number has acted there: a worker that was stopped just
 * before it started the command, and wakes up when the deployment is long over, starts this instead, and changes nothing.
 *
 * Leads a process group, with the command in it. Input: argv[2], JSON {room, fence, by, guard, ...}; the command from
 * argv[3] on, behind `hidden`, which keeps the state directory from it. Ends as the command ends; refused: exit 77; could not begin for a reason that says nothing about the command
 * (the lock is held, the disk is full): exit 75. With a guard, {observe or link, over, cwd, answer}, the target is observed
 * first, under the lock. When something else is live than may be, or nobody can say what, the command is not run: exit 78,
 * and the file `answer` holds {drifted: what is live} or {fault: why}. When the command could not begin, the file `notRun`
 * says why, if it is named.
 */
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { observeLink } = require('./link');
const { heldIn, lock, note } = require('./numbers');

const refused = 77;
const notRun = 78;
const tryAgain = 75;
const scarce = ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM', 'ENOSPC', 'EDQUOT'];
let started = false;
let unrun;
const tell = (why) => {
  if (started || !unrun) return;
  try {
    fs.writeFileSync(unrun, why);
  } catch {
    // Then nobody knows.
  }
};
const later = (thrown) => {
  tell(thrown.message);
  process.stderr.write(`${thrown.message}\n`);
  process.exit(tryAgain);
};
// Thrown before the command has run: nothing is known about it yet.
process.once('uncaughtException', later);
const { room, fence, guard, notRun: file, hidden = [], ...entry } = JSON.parse(process.argv[2]);
unrun = file;
const [program] = process.argv.slice(3);
const command = [...hidden, ...process.argv.slice(3)];

// Held until the command has ended: who comes with a higher number ends it, and never acts beside it.
lock(room, fence, true);
const held = heldIn(room);
if (fence < held.fence) {
  process.stderr.write(
    `Fencing number ${fence} was refused: ${held.fence} has acted here. Nothing was changed.\n`,
  );
  process.exit(refused);
}
if (guard) {
  const live = guard.link ? linked(guard.link) : liveNow(guard.observe);
  // A switching command of this attempt that was stopped half-way may have left nothing live.
  const [mine] = entry.by.split(' ');
  const half = new RegExp(`^${mine} (swap|undo-swap|take-out)$`).test(held.by ?? '');
  if (!guard.over.includes(live) && !(guard.observe && half && live === '')) leave({ drifted: live });
}
note(room, fence, entry);

// What it is hidden behind is always there; whether the command itself is has to be known.
if (hidden.length > 0 && !isThere(program)) cannotStart(`spawn ${program} ENOENT`);
const child = spawn(command[0], command.slice(1), { stdio: 'inherit' });
started = child.pid !== undefined;
// The whole group is asked to end; this waits for the command to do so.
process.on('SIGTERM', () => undefined);
child.once('error', (thrown) => {
  if (scarce.includes(thrown.code)) later(thrown);
  cannotStart(thrown.message);
});
child.once('exit', (code, signal) => {
  if (!signal) process.exit(code);
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, signal);
});

function cannotStart(why) {
  tell(why);
  process.stderr.write(`${program} could not be started: ${why}\n`);
  process.exit(127);
}
function isThere(name) {
  const folders = name.includes('/') ? ['.'] : (process.env.PATH ?? '').split(path.delimiter);
  return folders.some((folder) => {
    const file = path.resolve(folder, name);
    try {
      fs.accessSync(file, fs.constants.X_OK);
      return fs.statSync(file).isFile();
    } catch {
      return false;
    }
  });
}
/** As the same texts that the target's journal has. */
function linked(root) {
  const live = observeLink(root);
  return live.release ?? live.link ?? live.what ?? '';
}
function liveNow({ argv, timeoutSeconds }) {
  const [observer] = argv;
  const [first, ...rest] = [...(guard.hidden ?? []), ...argv];
  // A file, and no pipe of Node's, which is a socket: nobody could open /dev/stdout there.
  const file = path.join(path.dirname(guard.answer), 'said');
  fs.rmSync(file, { force: true });
  const said = fs.openSync(file, 'a+');
  const { status, error } = spawnSync(first, rest, {
    cwd: guard.cwd,
    env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
    stdio: ['ignore', said, 'inherit'],
  });
  if (status === 0) return fs.readFileSync(file, 'utf8').trim().split('\n').at(-1);
  return leave({
    fault: `driver.observe (${observer}) could not say what is live: ${error?.message ?? `exit ${status}`}`,
  });
}
function leave(answer) {
  fs.writeFileSync(guard.answer, JSON.stringify(answer));
  process.exit(notRun);
}
