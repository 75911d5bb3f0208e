'use strict';
/**
 * Switches a directory target's `current` link: the one place where what is live changes.
 *
 * A short process of its own, so that a stopped one can be killed without killing a worker. Under an OS lock
 * (which ends with its holder, however it ends) it compares fencing numbers, notes its own, and renames. A
 * higher number kills a lower one that still holds the lock: that one has lost, wherever it stands, because
 * each state in between is finished by the next switch.
 *
 * Input (argv[2], JSON): {root, release: digest or null, fence, by}. Output (JSON):
 * {result: "switched" | "already" | "refused", from, fence}. Exit 0 for each of these, 1 for a fault.
 */
const fs = require('node:fs');
const path = require('node:path');
const { tryLock } = require('fs-native-extensions');

const { root, release, fence, by } = JSON.parse(process.argv[2]);
const room = path.join(root, '.signalbox');
const current = path.join(root, 'current');
const noted = path.join(room, 'fence.json');

/** Tells a process from a later one with the same number; empty where the system does not say. */
const startOf = (pid) => {
  try {
    return fs
      .readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19];
  } catch {
    return '';
  }
};
const readJson = (file) => {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (thrown) {
    if (thrown.code === 'ENOENT' || thrown instanceof SyntaxError) return undefined;
    throw thrown;
  }
};
const sync = (file) => {
  const fd = fs.openSync(file, 'r');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
};
const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

fs.mkdirSync(room, { recursive: true });
const lock = fs.openSync(path.join(room, 'lock'), 'a+');
const holderFile = path.join(room, 'holder.json');
const deadline = Date.now() + 30_000;
while (!tryLock(lock)) {
  const holder = readJson(holderFile);
  if (holder && holder.fence < fence && holder.start === startOf(holder.pid)) {
    try {
      process.kill(holder.pid, 'SIGKILL');
    } catch {
      // It let go meanwhile.
    }
  }
  if (Date.now() > deadline) throw new Error(`the lock of ${root} is held by ${JSON.stringify(holder)}`);
  wait(10);
}
fs.writeFileSync(holderFile, JSON.stringify({ pid: process.pid, start: startOf(process.pid), fence }));

const highest = readJson(noted)?.fence ?? 0;
let from = null;
try {
  from = path.basename(fs.readlinkSync(current));
} catch (thrown) {
  if (thrown.code === 'EINVAL')
    throw new Error(`${current} is not a link; move it away so that Signalbox can make one`);
  if (thrown.code !== 'ENOENT') throw thrown;
}
const answer = (result) => process.stdout.write(JSON.stringify({ result, from, fence: highest }));

if (fence < highest) answer('refused');
else {
  // The number first: from here on nothing older can act, even if this process ends now.
  fs.writeFileSync(`${noted}.new`, JSON.stringify({ fence, by }));
  sync(`${noted}.new`);
  fs.renameSync(`${noted}.new`, noted);
  sync(room);
  fs.appendFileSync(
    path.join(room, 'journal.jsonl'),
    `${JSON.stringify({ at: new Date().toISOString(), fence, by, from, to: release })}\n`,
  );
  if (from === release) answer('already');
  else {
    if (release === null) fs.unlinkSync(current);
    else {
      if (!fs.existsSync(path.join(root, 'releases', release)))
        throw new Error(`release ${release} is not installed`);
      const fresh = path.join(room, 'current.new');
      fs.rmSync(fresh, { force: true });
      fs.symlinkSync(path.join('releases', release), fresh);
      // rename(2) replaces the link in one step: no reader ever finds none.
      fs.renameSync(fresh, current);
    }
    sync(root);
    answer('switched');
  }
}
