'use strict';
/**
 * Puts data back from a backup. First all of it is unpacked beside the data, where a rename can reach its place: nothing
 * is changed until that is done. Then it is exchanged by renames; one that fails takes back those before it. A folder that
 * is a mount point, or holds one, cannot be renamed: there the contents are exchanged, inside of the mount. One that is
 * killed is finished by the next restore, which begins anew.
 *
 * Input (argv[2], JSON): {archive, paths: absolute, key}.
 */
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { below, nameOf } = require('./entries');
const { mountsIn } = require('./mounts');
const { headOf, unpackData } = require('./unpack-data');

const { archive, paths, key } = JSON.parse(process.argv[2]);
const remove = (place) => fs.rmSync(place, { recursive: true, force: true, maxRetries: 3 });
const inside = (folder, place) => place === folder || place.startsWith(`${folder === '/' ? '' : folder}/`);
const say = (text) => process.stdout.write(`${text}\n`);
const there = (place) => fs.lstatSync(place, { throwIfNoEntry: false });

const shortOf = (place) => createHash('sha256').update(place).digest('hex').slice(0, 12);
/** What stood where a link has to be. */
const besideOf = (place) =>
  path.join(path.dirname(place), `.signalbox-before-restore-${shortOf(place)}-link`);

/**
 * A part that is exchanged by itself: a path, or a mount point at or below one.
 * @returns {{ place: string, mounted: boolean, isFile: boolean, fresh: string, aside: string, within: string[] }} where it is unpacked, what
 * is replaced is put aside, and the mount points in it.
 */
function part(place, mounted, mounts) {
  const isFile = mounted && !fs.lstatSync(place).isDirectory();
  const folder = mounted && !isFile ? place : path.dirname(place);
  return {
    place,
    mounted,
    isFile,
    fresh: path.join(folder, `.signalbox-restore-${shortOf(place)}`),
    aside: path.join(folder, `.signalbox-before-restore-${shortOf(place)}`),
    within: mounts.filter((other) => other !== place && inside(place, other)),
  };
}

async function main() {
  // One that a version before made says nothing of itself: each path is where its name says.
  const head = await headOf(archive);
  const known = head?.paths ?? paths.map((named) => ({ named, real: named, links: [] }));
  const wanted = paths.map((named) => {
    const found = known.find((one) => one.named === named);
    if (!found)
      throw new Error(
        `the backup does not hold ${named}, but ${known.map((one) => one.named).join(', ')}; correct backup.paths`,
      );
    return found;
  });
  const reals = [...new Set(wanted.map(({ real }) => real))];
  const parts = reals
    .filter((real) => !reals.some((other) => other !== real && inside(other, real)))
    .flatMap((real) => {
      const mounts = mountsIn(real).map(({ place }) => place);
      return [...new Set([real, ...mounts])].map((place) => part(place, mounts.includes(place), mounts));
    });
  // A single file that is mounted comes last: writing to it cannot be taken back.
  parts.sort((a, b) => Number(a.isFile) - Number(b.isFile));
  const undo = [];
  const clear = () => parts.forEach(({ fresh }) => remove(fresh));
  try {
    clear();
    await unpack(parts, head === undefined);
    for (const { place, mounted, fresh } of parts)
      if (!mounted && !there(path.join(fresh, 'data')))
        throw new Error(`the backup holds nothing of ${place}`);
    const own = () => parts.flatMap(({ fresh, aside }) => [fresh, aside]);
    for (const one of parts) exchange({ ...one, own }, undo);
    for (const { links } of wanted) for (const link of [...links].reverse()) relink(link, undo);
  } catch (thrown) {
    for (const takeBack of undo.reverse()) takeBack();
    clear();
    throw thrown;
  }
  clear();
  for (const { aside } of parts) remove(aside);
  // Working inside of a folder changed its time.
  for (const { place, atime, mtime } of times) fs.utimesSync(place, atime, mtime);
  for (const { links } of wanted) for (const { path: place } of links) remove(besideOf(place));
  // As a version before named them.
  for (const { place } of parts)
    for (const name of ['restore', 'before-restore'])
      remove(path.join(path.dirname(place), `.signalbox-${name}-${key}`));
  for (const { named } of wanted) say(`restored ${named}`);
}

async function unpack(parts, old) {
  const roots = parts
    .map((one) => ({ ...one, name: nameOf(one.place) }))
    // The innermost first: an entry goes where the file system is on which it will lie.
    .sort((a, b) => b.place.length - a.place.length);
  for (const { fresh } of roots) fs.mkdirSync(fresh, { recursive: true, mode: 0o700 });
  const placeOf = (name) => {
    for (const root of roots) {
      const rest = below(name, root.name);
      if (rest) return Buffer.concat([Buffer.from(path.join(root.fresh, 'data')), rest]);
    }
    return undefined;
  };
  await unpackData(archive, placeOf, { old });
}

function exchange(one, undo) {
  const fresh = path.join(one.fresh, 'data');
  // A mount that was not there when the backup was made is no part of it.
  if (!there(fresh)) return;
  fs.mkdirSync(one.aside, { recursive: true, mode: 0o700 });
  if (one.isFile) {
    // A single file that is mounted can only be written to.
    fs.copyFileSync(fresh, one.place);
    likewise(fresh, one.place);
  } else if (one.mounted || one.within.length > 0) contents(fresh, one.place, one, undo);
  else replace(fresh, one.place, one.aside, undo);
}

/** Puts what is there aside, and the other in its place. */
function replace(fresh, place, aside, undo) {
  const move = (from, to) => {
    fs.renameSync(from, to);
    undo.push(() => fs.renameSync(to, from));
  };
  if (there(place)) move(place, path.join(aside, `${process.pid}-${undo.length}`));
  if (there(fresh)) move(fresh, place);
}

function contents(fresh, place, one, undo) {
  // Before anything is moved out of it, which changes its time.
  likewise(fresh, place);
  const at = (folder, name) => Buffer.concat([Buffer.from(folder), Buffer.from('/'), name]);
  const names = (folder) => fs.readdirSync(folder, { encoding: 'buffer' });
  const mine = one.own().map((folder) => Buffer.from(folder));
  const mounts = one.within.map((mount) => Buffer.from(mount));
  const all = new Map([...names(place), ...names(fresh)].map((name) => [name.toString('latin1'), name]));
  for (const name of all.values()) {
    const old = at(place, name);
    if (mine.some((folder) => folder.equals(old))) continue;
    // Exchanged by itself.
    if (mounts.some((mount) => mount.equals(old))) continue;
    const holds = mounts.some((mount) =>
      mount.subarray(0, old.length + 1).equals(Buffer.concat([old, Buffer.from('/')])),
    );
    if (!holds) replace(at(fresh, name), old, one.aside, undo);
    else if (there(at(fresh, name))?.isDirectory()) contents(at(fresh, name), old, one, undo);
  }
}

const times = [];
/** The same owner and mode, and in the end the same time. */
function likewise(fresh, place) {
  const { uid, gid, mode, atime, mtime } = fs.lstatSync(fresh);
  fs.chownSync(place, uid, gid);
  fs.chmodSync(place, mode & 0o7777);
  times.push({ place, atime, mtime });
}

/** A link by which one of the paths leads to the data, as it was. */
function relink({ path: place, to }, undo) {
  const found = there(place);
  const before = found?.isSymbolicLink() ? fs.readlinkSync(place) : undefined;
  if (before === to) return;
  if (found && before === undefined) {
    const beside = besideOf(place);
    remove(beside);
    fs.renameSync(place, beside);
    undo.push(() => fs.renameSync(beside, place));
  }
  link(to, place);
  undo.push(() => (before === undefined ? fs.unlinkSync(place) : link(before, place)));
}
/** In one step, so that nobody finds none. */
function link(to, place) {
  const fresh = path.join(path.dirname(place), `.signalbox-restore-${shortOf(place)}-link`);
  fs.rmSync(fresh, { force: true });
  fs.symlinkSync(to, fresh);
  fs.renameSync(fresh, place);
}

main().catch((thrown) => {
  process.stderr.write(`${thrown.message}\n`);
  process.exitCode = 1;
});
