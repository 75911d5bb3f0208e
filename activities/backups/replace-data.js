'use strict';
/**
 * Puts data back from a backup, path by path: unpacked beside the path, because a rename does not cross file systems,
 * with its owners and times, then renamed into place. A try that stopped between the two renames left the path missing;
 * the next one puts it there all the same.
 *
 * Input (argv[2], JSON): {archive, paths: absolute, key}.
 */
const fs = require('node:fs');
const path = require('node:path');
const tar = require('tar');

const { archive, paths, key } = JSON.parse(process.argv[2]);
for (const place of paths) {
  const inArchive = path.relative('/', place);
  const fresh = path.join(path.dirname(place), `.signalbox-restore-${key}`);
  const aside = path.join(path.dirname(place), `.signalbox-before-restore-${key}`);
  const remove = (folder) => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  remove(fresh);
  fs.mkdirSync(fresh, { recursive: true });
  const mine = (name) => {
    const clean = name.replace(/\/$/, '');
    return clean === inArchive || clean.startsWith(`${inArchive}/`);
  };
  tar.extract({ file: archive, cwd: fresh, strict: true, preserveOwner: true, sync: true, filter: mine });
  if (fs.existsSync(place)) {
    remove(aside);
    fs.renameSync(place, aside);
  }
  fs.renameSync(path.join(fresh, inArchive), place);
  remove(aside);
  remove(fresh);
  process.stdout.write(`restored ${place}\n`);
}
