'use strict';
/**
 * Moves old releases out of `releases/`, under the target's lock, unless a higher fencing number has acted there: whoever
 * holds the lane now may be about to make one of them current. What was moved can be removed in any time, by anybody.
 *
 * Input (argv[2], JSON): {root, keep: how many of the newest stay, always: digests that stay, fence}. Output (JSON):
 * the digests that were moved, to `.signalbox/<digest>.<any>.pruned`.
 */
const fs = require('node:fs');
const path = require('node:path');
const { randomUUID } = require('node:crypto');
const { highestIn, lock } = require('./numbers');

const { root, keep, always, fence } = JSON.parse(process.argv[2]);
const room = path.join(root, '.signalbox');
const releases = path.join(root, 'releases');

lock(room, fence);
const moved = fence < highestIn(room) || !fs.existsSync(releases) ? [] : old();
for (const name of moved)
  fs.renameSync(path.join(releases, name), path.join(room, `${name}.${randomUUID()}.pruned`));
process.stdout.write(JSON.stringify(moved));

function old() {
  const current = linked();
  return fs
    .readdirSync(releases)
    .map((name) => ({ name, at: fs.lstatSync(path.join(releases, name)).ctimeMs }))
    .sort((a, b) => b.at - a.at)
    .slice(keep)
    .map(({ name }) => name)
    .filter((name) => !always.includes(name) && name !== current);
}
/** Whatever the record says: what the link leads to stays. */
function linked() {
  try {
    return path.basename(fs.readlinkSync(path.join(root, 'current')));
  } catch {
    return undefined;
  }
}
