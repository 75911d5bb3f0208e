import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryLock } from 'fs-native-extensions';

/**
 * Where Signalbox is root, builds of each target run as a user number of its own, so that a cache can belong to them. The numbers
 * are chosen by the target's name, or the next that is free, and remembered for the whole host: another worker or runner may have
 * targets, too. A target keeps its own as long as its state directory is there, also while the targets file does not name it, and
 * when that directory is moved.
 */
const firstUser = 60_600;
/** User numbers that systemd leaves to nobody. */
const users = 500;
const lockMs = 10_000;
export const usersFolder = '/var/lib/signalbox';

interface Holder {
  stateDir: string;
  target: string;
}

export interface Taken {
  number: number;
  by: Holder;
}

/**
 * @param folder where this host remembers them; where it cannot be written, it is the state directory.
 * @returns the number, and the one by the target's name if that is another target's. @throws when none is free.
 */
export async function userNumberOf(
  holder: Holder,
  folder = usersFolder,
): Promise<{ number: number; taken?: Taken }> {
  const at = await writable(folder).catch(() => holder.stateDir);
  const fd = await locked(join(at, 'build-users.lock'));
  try {
    const file = join(at, 'build-users.json');
    const known = readUsers(file);
    const wish = firstUser + (createHash('sha256').update(holder.target).digest().readUInt32BE() % users);
    const isOurs = ({ stateDir, target }: Holder) => stateDir === holder.stateDir && target === holder.target;
    const [own] = [...known].find(([, one]) => isOurs(one)) ?? [];
    const inTurn = Array.from({ length: users }, (_, n) => firstUser + ((wish - firstUser + n) % users));
    const isGone = (one: number) => known.has(one) && !existsSync(known.get(one)!.stateDir);
    const number =
      own ??
      // Its state directory was moved, or begun anew elsewhere.
      inTurn.find((one) => known.get(one)?.target === holder.target && isGone(one)) ??
      inTurn.find((one) => !known.has(one)) ??
      inTurn.find(isGone);
    if (number === undefined)
      throw new Error(
        `Each of the ${users} user numbers for builds belongs to a target of this host; remove from ${file} those that are gone.`,
      );
    const by = known.get(wish);
    if (own === undefined) {
      known.set(number, holder);
      await writeFile(`${file}.new`, `${JSON.stringify(Object.fromEntries(known), null, 2)}\n`);
      await rename(`${file}.new`, file);
    }
    return { number, ...(number !== wish && by ? { taken: { number: wish, by } } : {}) };
  } finally {
    closeSync(fd);
  }
}

async function writable(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  closeSync(openSync(join(folder, 'build-users.lock'), 'a'));
  return folder;
}

/** @returns what holds the lock until it is closed. */
async function locked(file: string): Promise<number> {
  const fd = openSync(file, 'a');
  const deadline = performance.now() + lockMs;
  while (!tryLock(fd)) {
    if (performance.now() > deadline) {
      closeSync(fd);
      throw new Error(`${file} is locked by another process for ${lockMs / 1000} s.`);
    }
    await sleep(10);
  }
  return fd;
}

function readUsers(file: string): Map<number, Holder> {
  if (!existsSync(file)) return new Map();
  try {
    const said = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Holder>;
    return new Map(Object.entries(said).map(([number, holder]) => [Number(number), holder]));
  } catch (thrown) {
    throw new Error(
      `${file} does not say any more as which user each target's builds run; put it back from a copy, or remove it: then numbers may change.`,
      { cause: thrown },
    );
  }
}
