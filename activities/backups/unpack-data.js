'use strict';
/**
 * Unpacks a backup of files, with owners, modes and times: for its proof into a scratch folder, for a restore beside the
 * data. One code for both, so that what was proven is what is done. Links are data, wherever they lead: they are made
 * as they were, and nothing is ever written through one, because no entry lies below a link.
 */
const fs = require('node:fs');
const fsp = require('node:fs/promises');
const { once } = require('node:events');
const { pipeline } = require('node:stream/promises');
const { createGunzip } = require('node:zlib');
const { Parser } = require('tar');
const { head, end, bytesOf } = require('./entries');

/**
 * Hands out the entries of an archive one after the other.
 * @param {string} archive
 * @param {(entry: import('tar').ReadEntry) => Promise<boolean | void>} take true: it has seen enough.
 * @param {AbortSignal} [signal]
 */
async function eachEntry(archive, take, signal) {
  let [enough, failure] = [false, undefined];
  let work = Promise.resolve();
  let stop;
  const failed = new Promise((_resolve, reject) => {
    stop = (thrown) => {
      failure ??= thrown;
      reject(thrown);
    };
  });
  failed.catch(() => undefined);
  const parser = new Parser({
    strict: true,
    onReadEntry(entry) {
      work = work.then(async () => {
        enough = (await take(entry)) === true;
        if (enough) throw new Error('it has seen enough');
        entry.resume();
      });
      work.catch(stop);
    },
  });
  parser.on('error', (thrown) => stop(thrown));
  const ended = once(parser, 'end');
  ended.catch(() => undefined);
  try {
    const read = async (chunks) => {
      for await (const chunk of chunks)
        if (!parser.write(chunk)) await Promise.race([once(parser, 'drain'), failed]);
      parser.end();
      await Promise.race([ended, failed]);
      await Promise.race([work, failed]);
    };
    await pipeline(fs.createReadStream(archive), createGunzip(), read, { signal });
  } catch (thrown) {
    // What ends a stream early is told to it as an abort; the reason is this one's own.
    if (!enough) throw failure ?? thrown;
  }
}

/** @type {(entry: import('tar').ReadEntry) => Promise<any>} */
async function jsonOf(entry) {
  const chunks = [];
  for await (const chunk of entry) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

/**
 * What an archive says of itself.
 * @param {string} archive
 * @returns {Promise<{paths: {named: string, real: string, links: {path: string, to: string}[]}[]} | undefined>} undefined
 * for one that a version before made: each of its paths is where its name says.
 */
async function headOf(archive) {
  let found;
  await eachEntry(archive, async (entry) => {
    if (entry.path === head) found = await jsonOf(entry);
    return true;
  });
  return found;
}

/**
 * @param {string} archive
 * @param {(name: string) => Buffer | undefined} placeOf where an entry goes, absolute; undefined: nowhere. What holds it
 * comes before it.
 * @param {{ old?: boolean, signal?: AbortSignal }} [how] old: a version before made it, so it does not say where it ends.
 * @throws with the path in its message, when an owner cannot be given back, say.
 */
async function unpackData(archive, placeOf, { old = false, signal } = {}) {
  const folders = [];
  let last;
  await eachEntry(
    archive,
    async (entry) => {
      if (entry.path === head) return;
      if (entry.path === end) {
        last = await jsonOf(entry);
        return;
      }
      const name = entry.path.replace(/\/$/, '');
      const place = placeOf(name);
      if (!place) return;
      const { mode = 0o600, uid, gid, mtime = new Date(0) } = entry;
      const owned = (chown) =>
        (uid === undefined ? Promise.resolve() : chown(uid, gid)).catch((thrown) => {
          throw Object.assign(
            new Error(
              `/${name} belongs to ${uid}:${gid}, and whoever runs Signalbox (${process.getuid()}:${process.getgid()}) cannot give it back to them (${thrown.code})`,
            ),
            { code: 'EPERM' },
          );
        });
      if (entry.type === 'Directory') {
        await fsp.mkdir(place, 0o700).catch((thrown) => {
          if (thrown.code !== 'EEXIST') throw thrown;
        });
        folders.push({ place, mode, mtime, owned });
      } else if (entry.type === 'SymbolicLink') {
        await fsp.symlink(bytesOf(entry.linkpath), place);
        await owned((...to) => fsp.lchown(place, ...to));
        await fsp.lutimes(place, mtime, mtime);
      } else {
        const file = await fsp.open(place, 'w', 0o600);
        try {
          for await (const chunk of entry) await file.writeFile(chunk);
          await owned((...to) => file.chown(...to));
          await file.chmod(mode & 0o7777);
          await file.utimes(mtime, mtime);
        } finally {
          await file.close();
        }
      }
    },
    signal,
  );
  if (!old && !last) throw new Error(`${archive} has no end`);
  for (const [name, { size, mtime }] of Object.entries(last?.shorter ?? {})) {
    const place = placeOf(name);
    if (!place) continue;
    await fsp.truncate(place, size);
    const time = new Date(mtime * 1000);
    await fsp.utimes(place, time, time);
  }
  // What is inside first: making it changes the folder's time, and its mode may forbid it.
  for (const { place, mode, mtime, owned } of folders.reverse()) {
    await owned((...to) => fsp.lchown(place, ...to));
    await fsp.chmod(place, mode & 0o7777);
    await fsp.utimes(place, mtime, mtime);
  }
}

module.exports = { headOf, unpackData };
