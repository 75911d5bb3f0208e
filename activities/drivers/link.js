'use strict';
/**
 * What a directory target's `current` link shows. Used by the worker and, under the target's lock, by the process that
 * switches it: both must see the same.
 */
const fs = require('node:fs');
const path = require('node:path');

/**
 * @param {string} root the target's folder.
 * @returns {import('../../domain/observed').Observed}
 */
function observeLink(root) {
  const current = path.join(root, 'current');
  let link;
  try {
    link = fs.readlinkSync(current);
  } catch (thrown) {
    if (thrown.code === 'ENOENT') return { kind: 'nothing' };
    if (thrown.code !== 'EINVAL') throw thrown;
    const is = fs.lstatSync(current).isDirectory() ? 'a folder' : 'a file';
    return {
      kind: 'unrestorable',
      what: `${current}, which is ${is} and not a link`,
      remedy: `Move it elsewhere and make "current" a link to it, such as "mv current was && ln -s was current" in ${root}`,
    };
  }
  const place = path.resolve(root, link);
  let real;
  try {
    real = fs.realpathSync(place);
  } catch (thrown) {
    if (!['ENOENT', 'ELOOP', 'ENOTDIR'].includes(thrown.code)) throw thrown;
    return {
      kind: 'unrestorable',
      what: `the link ${current}, which leads nowhere (${link})`,
      remedy: `Point it at what is to be live, or remove it to begin without a release: "rm ${current}"`,
    };
  }
  const release = path.basename(place);
  if (/^[0-9a-f]{64}$/.test(release) && real === realpathOr(path.join(root, 'releases', release)))
    return { kind: 'release', release };
  return { kind: 'foreign', link };
}

function realpathOr(file) {
  try {
    return fs.realpathSync(file);
  } catch {
    return undefined;
  }
}

module.exports = { observeLink };
