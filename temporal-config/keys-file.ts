import { randomUUID } from 'node:crypto';
import { existsSync, linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { messageOf } from '../domain/errors';
import { createKeyring, keysFile, newKey, type Keyring, type Keys } from './signing';

/**
 * The signing keys in their file, `signing-keys.json` in the state directory, or where SIGNALBOX_SIGNING_KEYS_FILE
 * says (a mounted secret, shared by API and workers). It is read again when it changes.
 */
export function openKeyring(file: string, make: boolean): Keyring {
  if (make) makeKeys(file);
  let known: { stamp: string; keys: Keys } | undefined;
  const keys = () => {
    const { mtimeMs, size, ino } = statSync(file);
    const stamp = `${mtimeMs} ${size} ${ino}`;
    if (known?.stamp !== stamp) known = { stamp, keys: readKeys(file) };
    return known.keys;
  };
  try {
    keys();
  } catch (thrown) {
    throw new Error(`The signing keys ${file} could not be read; API and workers need the same file.`, {
      cause: thrown,
    });
  }
  return createKeyring(keys);
}

export function readKeys(file: string): Keys {
  const parsed = keysFile.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new Error(`it is no keys file: ${messageOf(parsed.error)}`);
  return parsed.data;
}

/** Makes the file with one key. @returns the key's id. @throws when there is one already. */
export function createKeys(file: string): string {
  if (existsSync(file)) throw new Error(`${file} is there already; it is left as it is.`);
  makeKeys(file);
  return readKeys(file).keys[0]!.id;
}

/** Makes the file with one key, unless there is one; two that start together end up with the same. */
function makeKeys(file: string): void {
  const temporary = `${file}.${randomUUID()}`;
  writeFileSync(temporary, text({ keys: [newKey(new Date())] }), { mode: 0o600 });
  try {
    linkSync(temporary, file);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** A new key signs from now on; the others still verify what they signed. @returns the new key's id. */
export function rotateKeys(file: string): string {
  const made = newKey(new Date());
  replace(file, { keys: [made, ...readKeys(file).keys] });
  return made.id;
}

/** Drops a key: what it signed is refused from now on. @throws when it is the one that signs, or there is none. */
export function dropKey(file: string, id: string): void {
  const { keys } = readKeys(file);
  if (keys[0]!.id === id) throw new Error(`${id} is the key that signs; rotate first.`);
  if (!keys.some((key) => key.id === id))
    throw new Error(`There is no key ${id}; there are ${keys.map((key) => key.id).join(', ')}.`);
  replace(file, { keys: keys.filter((key) => key.id !== id) });
}

function replace(file: string, keys: Keys): void {
  writeFileSync(`${file}.new`, text(keys), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

const text = (keys: Keys) => `${JSON.stringify(keys, null, 2)}\n`;
