'use strict';
/**
 * Switches a directory target's `current` link: the one place where what is live changes. Under the target's lock it
 * compares fencing numbers, notes its own, and renames; each state in between is finished by the next switch.
 *
 * Input (argv[2], JSON): {root, release: digest or null, fence, by}. Output (JSON):
 * {result: "switched" | "already" | "refused", from, fence}. Exit 0 for each of these, 1 for a fault.
 */
const fs = require('node:fs');
const path = require('node:path');
const { highestIn, lock, note, sync } = require('./numbers');

const { root, release, fence, by } = JSON.parse(process.argv[2]);
const room = path.join(root, '.signalbox');
const current = path.join(root, 'current');

lock(room, fence);
const highest = highestIn(room);
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
  note(room, fence, { by, from, to: release });
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
