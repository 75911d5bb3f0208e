'use strict';
/**
 * How files and folders stand in a backup: as a tar archive that every tar reads, with what tar cannot say told apart.
 * First `.signalbox-backup.json` (where each of the backed up paths really is), last `.signalbox-backup-end.json`
 * (files that became shorter while they were read, and that this is the end). Names and targets of links are bytes, not
 * text: one that is no plain UTF-8 stands as `signalbox-bytes-<hex>`.
 */
const path = require('node:path');

const head = '.signalbox-backup.json';
const end = '.signalbox-backup-end.json';
const marker = 'signalbox-bytes-';
const slash = Buffer.from('/');
/** What a restore that was killed leaves in or beside the data; no part of it. */
const leftover = /^\.signalbox-(before-)?restore/;

/** @type {(bytes: Buffer) => string} */
const textOf = (bytes) => {
  const text = bytes.toString();
  const plain = !/[\u0000-\u001f\u007f\\]/.test(text) && !text.startsWith(marker);
  return plain && Buffer.from(text).equals(bytes) ? text : `${marker}${bytes.toString('hex')}`;
};
/** @type {(text: string) => Buffer} */
const bytesOf = (text) =>
  text.startsWith(marker) ? Buffer.from(text.slice(marker.length), 'hex') : Buffer.from(text);

/** @type {(folder: Buffer, name: Buffer) => Buffer} */
const within = (folder, name) => Buffer.concat([folder, slash, name]);

/** The name of an absolute path in an archive. @type {(absolute: string) => string} */
const nameOf = (absolute) =>
  path
    .relative('/', absolute)
    .split('/')
    .map((part) => textOf(Buffer.from(part)))
    .join('/');

/**
 * What of the name lies below a root, as bytes; undefined: nothing, the entry is of another root.
 * @type {(name: string, root: string) => Buffer | undefined}
 */
function below(name, root) {
  if (name !== root && !name.startsWith(`${root}/`)) return undefined;
  const parts = name.slice(root.length).split('/').slice(1);
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw new Error(`${name} is no name that a backup has`);
  return Buffer.concat(parts.flatMap((part) => [slash, bytesOf(part)]));
}

module.exports = { head, end, leftover, textOf, bytesOf, within, nameOf, below };
