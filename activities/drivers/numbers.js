'use strict';
/**
 * Fencing numbers, kept beside what they guard: `fence.json` is the highest that ever acted there, `journal.jsonl` who
 * acted, `holder.json` who holds the OS lock (which ends with its holder, however it ends).
 *
 * Used by short processes of their own, so that a stopped one can be killed without killing a worker. A higher number
 * kills a lower one that still holds the lock: that one has lost, wherever it stands.
 */
const fs = require('node:fs');
const path = require('node:path');
const { tryLock } = require('fs-native-extensions');

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

/**
 * Waits for the lock of a room.
 * @param leads whether this process leads a group, which is then what a higher number kills.
 * @throws when a higher number keeps it for too long.
 */
function lock(room, fence, leads = false) {
  fs.mkdirSync(room, { recursive: true });
  const fd = fs.openSync(path.join(room, 'lock'), 'a+');
  const holderFile = path.join(room, 'holder.json');
  const deadline = performance.now() + 30_000;
  while (!tryLock(fd)) {
    const holder = readJson(holderFile);
    if (holder && holder.fence < fence && holder.start === startOf(holder.pid)) {
      for (const pid of holder.leads ? [-holder.pid, holder.pid] : [holder.pid])
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It let go meanwhile.
        }
    }
    if (performance.now() > deadline)
      throw new Error(`the lock of ${room} is held by ${JSON.stringify(holder)}`);
    wait(10);
  }
  fs.writeFileSync(
    holderFile,
    JSON.stringify({ pid: process.pid, start: startOf(process.pid), fence, leads }),
  );
}

/** Nobody gives out such a number; it leaves room for those that go on above it. */
const highestHeld = 999_000_000_000;

/**
 * The highest number that acted in a room, and who used it ("CP-7.1 swap").
 * @param {string} room
 * @returns {{ fence: number, by: string | null }}
 * @throws when that cannot be read: read as 0, it would let any number pass.
 */
function heldIn(room) {
  const file = path.join(room, 'fence.json');
  const journal = path.join(room, 'journal.jsonl');
  let text;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (thrown) {
    if (thrown.code !== 'ENOENT') throw thrown;
    // The number is written before its line, so a journal without a number means that the number was removed.
    if (fs.existsSync(journal)) throw unreadable(file, journal, 'is missing');
    return { fence: 0, by: null };
  }
  let held;
  try {
    held = JSON.parse(text);
  } catch {
    // Told below.
  }
  if (!Number.isSafeInteger(held?.fence) || held.fence < 0)
    throw unreadable(file, journal, 'holds no number');
  if (held.fence > highestHeld)
    throw unreadable(file, journal, `holds ${held.fence}, a number that nobody gives out`);
  return { fence: held.fence, by: typeof held.by === 'string' ? held.by : null };
}
const unreadable = (file, journal, how) =>
  new Error(
    `${file} ${how}, so nobody can tell which fencing number acted here last; nothing was changed. ` +
      `Write {"fence": N} into it, with N as high as the highest "fence" in ${journal} or higher; then it goes on`,
  );

/** What the journal of a room holds, oldest first. */
function entriesIn(room) {
  const file = path.join(room, 'journal.jsonl');
  if (!fs.existsSync(file)) return [];
  return (
    fs
      .readFileSync(file, 'utf8')
      .split('\n')
      // A line that was cut by a power failure has the next one behind it.
      .map((line) => line.slice(Math.max(0, line.lastIndexOf('{"at"'))))
      .flatMap((line) => {
        try {
          return [JSON.parse(line)];
        } catch {
          return [];
        }
      })
      .filter((entry) => typeof entry?.by === 'string')
  );
}

/**
 * Every switch of what is live in a room, oldest first, by the texts of what was live before and after it.
 * @param {string} room
 * @returns {{ by: string, origin?: string, from: string | null, to: string | null }[]}
 */
const switchesIn = (room) => entriesIn(room).filter(({ to }) => to !== undefined);

/** The highest number that acted in a room. */
const highestIn = (room) => heldIn(room).fence;

/** Notes a number: from here on nothing older can act, even if this process ends now. The lock has to be held. */
function note(room, fence, entry) {
  const noted = path.join(room, 'fence.json');
  fs.writeFileSync(`${noted}.new`, JSON.stringify({ fence, by: entry.by }));
  sync(`${noted}.new`);
  fs.renameSync(`${noted}.new`, noted);
  sync(room);
  const line = JSON.stringify({ at: new Date().toISOString(), fence, ...entry });
  fs.appendFileSync(path.join(room, 'journal.jsonl'), `${line}\n`);
}

/**
 * What an attempt did in a room, in order.
 * @param {string} room
 * @param {string} key of the attempt, CP-7.1
 * @param {string} origin of which Signalbox, in which incarnation of its database: a key alone comes again. Entries of
 *   earlier versions do not say it, and count for nobody.
 * @returns {{ at: string, fence: number, step: string, from?: string | null, to?: string | null }[]}
 */
const actsIn = (room, key, origin) =>
  entriesIn(room)
    .filter((entry) => entry.origin === origin && entry.by.startsWith(`${key} `))
    .map(({ at, fence, by, from, to }) => ({ at, fence, step: by.slice(key.length + 1), from, to }));

/**
 * Whether an entry may be an attempt's: those of earlier versions say no origin.
 * @param {{ by: string, origin?: string }} entry
 * @param {string} key of the attempt, CP-7.1
 * @param {string | undefined} origin as for `actsIn`
 * @returns {boolean}
 */
const mayBeOf = ({ by, origin: its }, key, origin) => by.startsWith(`${key} `) && (its ?? origin) === origin;

/**
 * Whether an attempt ever acted in a room.
 * @param {string} room
 * @param {string} key of the attempt, CP-7.1
 * @param {string} origin as for `actsIn`
 * @returns {boolean}
 */
const hasActed = (room, key, origin) => entriesIn(room).some((entry) => mayBeOf(entry, key, origin));

const acting = ['migrate', 'swap', 'undo-migrate', 'undo-swap', 'take-out'];
/**
 * Whether a step changes a target. Who puts a backup back by hand, or only looks, switches nothing.
 * @param {string} step
 * @returns {boolean}
 */
const isAct = (step) => acting.includes(step);
const acts = ({ by }) => by.startsWith('adopt ') || isAct(by.slice(by.indexOf(' ') + 1));

/**
 * Who acted last in a room.
 * @param {string} room
 * @returns {{ at: string, fence: number, by: string, origin?: string } | undefined}
 */
const lastIn = (room) => entriesIn(room).findLast(acts);

/**
 * Who else acted in a room since an attempt first did.
 * @param {string} room
 * @param {string} key of the attempt, CP-7.1
 * @param {string} origin as for `actsIn`
 * @returns {{ by: string, fence: number } | undefined} the last of them
 */
function newerIn(room, key, origin) {
  const entries = entriesIn(room);
  const first = entries.findIndex((entry) => entry.origin === origin && mayBeOf(entry, key, origin));
  if (first === -1) return undefined;
  return entries.slice(first).findLast((entry) => !mayBeOf(entry, key, origin) && acts(entry));
}

module.exports = {
  lock,
  actsIn,
  hasActed,
  isAct,
  lastIn,
  mayBeOf,
  newerIn,
  heldIn,
  highestIn,
  note,
  switchesIn,
  sync,
};
