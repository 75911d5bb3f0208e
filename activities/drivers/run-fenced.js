'use strict';
/**
 * Runs a command that changes a target, unless a higher fencing number has acted there: a worker that was stopped just
 * before it started the command, and wakes up when the deployment is long over, starts this instead, and changes nothing.
 *
 * Leads a process group, with the command in it. Input: argv[2], JSON {room, fence, by, ...}; the command from argv[3] on. Ends as the command ends; refused: exit 77.
 */
const { spawn } = require('node:child_process');
const { highestIn, lock, note } = require('./numbers');

const refused = 77;
const { room, fence, ...entry } = JSON.parse(process.argv[2]);
const [program, ...args] = process.argv.slice(3);

// Held until the command has ended: who comes with a higher number ends it, and never acts beside it.
lock(room, fence, true);
const highest = highestIn(room);
if (fence < highest) {
  process.stderr.write(
    `Fencing number ${fence} was refused: ${highest} has acted here. Nothing was changed.\n`,
  );
  process.exit(refused);
}
note(room, fence, entry);

const child = spawn(program, args, { stdio: 'inherit' });
// The whole group is asked to end; this waits for the command to do so.
process.on('SIGTERM', () => undefined);
child.once('error', (thrown) => {
  process.stderr.write(`${program} could not be started: ${thrown.message}\n`);
  process.exit(127);
});
child.once('exit', (code, signal) => {
  if (!signal) process.exit(code);
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, signal);
});
