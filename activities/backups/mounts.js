'use strict';
const fs = require('node:fs');
const path = require('node:path');

/**
 * Where other file systems are mounted, or folders bound: neither can be renamed. Elsewhere than on Linux only a path that
 * lies on another file system than the folder that holds it is known.
 * @param {string} root as `realpath` gives it.
 * @returns {{ place: string, readOnly: boolean }[]} those at the root or below it.
 */
function mountsIn(root) {
  const isIn = (place) => place === root || place.startsWith(`${root}/`);
  let lines;
  try {
    lines = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter(Boolean);
  } catch (thrown) {
    if (thrown.code !== 'ENOENT') throw thrown;
    const dev = (place) => fs.statSync(place, { throwIfNoEntry: false })?.dev;
    const [mine, parents] = [dev(root), dev(path.dirname(root))];
    return mine === undefined || mine === parents ? [] : [{ place: root, readOnly: false }];
  }
  // The last one mounted in a place is what is seen there.
  const found = new Map();
  for (const line of lines) {
    const fields = line.split(' ');
    const place = fields[4].replace(/\\(\d{3})/g, (_all, code) => String.fromCharCode(parseInt(code, 8)));
    if (isIn(place)) found.set(place, { place, readOnly: fields[5].split(',').includes('ro') });
  }
  return [...found.values()].sort((a, b) => (a.place < b.place ? -1 : 1));
}

module.exports = { mountsIn };
