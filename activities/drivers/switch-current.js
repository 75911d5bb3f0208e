'use strict';
/**
 * Switches a directory target's `current` link: the one place where what is live changes. Under the target's lock it
 * compares fencing numbers, looks at what is live, notes its own number, and renames; each state in between is finished by
 * the next switch.
 *
 * Input (argv[2], JSON): {root, to, over, fence, by, origin}: `to` and what it may replace (`over`) as they are observed. Output
 * (JSON): {result: "switched" | "already" | "refused" | "drifted", from, fence}. Exit 0 for each of these, 1 for a fault.
 */
const fs = require('node:fs');
const path = require('node:path');
const { isDeepStrictEqual: isSame } = require('node:util');
const { observeLink } = require('./link');
const { highestIn, lock, note, sync } = require('./numbers');

const { root, to, over, fence, by, origin } = JSON.parse(process.argv[2]);
const room = path.join(root, '.signalbox');
const current = path.join(root, 'current');
const textOf = (live) => live.release ?? live.link ?? live.what ?? null;

lock(room, fence);
const highest = highestIn(room);
const from = observeLink(root);
const answer = (result) => process.stdout.write(JSON.stringify({ result, from, fence: highest }));

if (fence < highest) answer('refused');
// What somebody else put there since it was observed is theirs.
else if (!isSame(from, to) && !over.some((live) => isSame(from, live))) answer('drifted');
else {
  note(room, fence, { by, origin, from: textOf(from), to: textOf(to) });
  if (isSame(from, to)) answer('already');
  else {
    if (to.kind === 'nothing') fs.unlinkSync(current);
    else {
      if (to.kind === 'release' && !fs.existsSync(path.join(root, 'releases', to.release)))
        throw new Error(`release ${to.release} is not installed`);
      const fresh = path.join(room, 'current.new');
      fs.rmSync(fresh, { force: true });
      fs.symlinkSync(to.kind === 'release' ? path.join('releases', to.release) : to.link, fresh);
      // rename(2) replaces the link in one step: no reader ever finds none.
      fs.renameSync(fresh, current);
    }
    sync(root);
    answer('switched');
  }
}
