import type { Db } from '../../db/connect';
import { recordAudit, sealAudit, auditHead, verifyAudit, linkOf, type Head } from '../../db/audit';
import {
  DatabaseMoved,
  knownIncarnation,
  readInstallation,
  takeStock,
  type Mark,
} from '../../db/installation';
import { highestFence } from '../../db/fences';
import { registerTargets } from '../../db/targets';
import { createWindows, addWindow } from '../../db/windows';
import { keyring } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** A database that went back to what it was: what processes remember of it does not hold any more. */
let database: TestDatabase;
beforeEach(async () => {
  database = await testDatabase();
});
afterEach(() => database.drop());

const aWindow = (name: string) => ({
  name,
  kind: 'freeze' as const,
  scope: {},
  start: '2026-01-01T00:00',
  timeZone: 'UTC',
  durationMinutes: 60,
});
const add = (name: string) => addWindow(database.db, aWindow(name), { by: 'rosa' });

it('windows whose revision came back are read again: a freeze that was added since counts', async () => {
  const windows = createWindows(database.db);
  const revision = async () => (await database.db('window_revision').first('revision')).revision as number;
  const before = await revision();
  await add('lost');
  expect((await windows.current()).windows.map(({ name }) => name)).toEqual(['lost']);
  // As after a restore of a dump that was made before: the row is gone, the number is what it was.
  await database.owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await tx('deployment_windows').delete();
    await tx('window_revision').update({ revision: before });
  });
  await add('freeze');
  expect(await revision()).toBe(before + 1);
  expect((await windows.current()).windows.map(({ name }) => name)).toEqual(['freeze']);
});

const sign = (what: object) => keyring.sign('restored', 'audit', what);
const whyForged = (said: unknown) => keyring.whyForged('restored', 'audit', said);
const write = async (db: Db, ...subjects: string[]) => {
  for (const subject of subjects) await recordAudit(db, { actor: 'rosa', action: 'workflow.ended', subject });
  await sealAudit(db);
  return (await auditHead(db))!;
};
const markAt = async (db: Db, head: Head): Promise<Mark> => {
  const { id: installation, incarnation } = await readInstallation(db);
  return { installation, incarnation, ...head };
};
/** The owner of the tables deletes the tail. */
const cutAfter = (seq: number) =>
  database.owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await tx('audit').where('seq', '>', seq).delete();
  });
/** The tail is gone, and the rows lie where they lay: as after a copy of the disk was put back and the server started. */
async function putBack(seq: number): Promise<void> {
  await cutAfter(seq);
  await started();
}
/** Its server was stopped and started since. */
const started = () =>
  database.owner('installation').update({
    place: database.owner.raw(`place || '{"started": "before"}'`),
  });

it('at first sight, and whenever nothing was restored, it is the first incarnation', async () => {
  const { db } = database;
  expect(await takeStock(db, undefined, sign)).toBeUndefined();
  const head = await write(db, 'a', 'b');
  expect(await takeStock(db, await markAt(db, head), sign)).toBeUndefined();
  expect(await knownIncarnation(db)).toBe('');
  expect((await verifyAudit(db, [head], whyForged)).restored).toEqual([]);
});

it('made again elsewhere: nothing begins until it is noted; then numbers go on above all that were given out', async () => {
  await registerTargets(database.db, ['shop']);
  await takeStock(database.db, undefined, sign);
  await database.db.destroy();
  // A copy is another database, as one that a dump was restored into is.
  await database.owner.destroy();
  const again = await testDatabase(new URL(database.url).pathname.slice(1));
  try {
    const { db } = again;
    await expect(knownIncarnation(db)).rejects.toThrow(DatabaseMoved);
    expect(await takeStock(db, undefined, sign)).toMatch(/made again|another server/);
    const incarnation = await knownIncarnation(db);
    expect(incarnation).toMatch(/^2-[0-9a-f]{6}$/);
    expect((await db('targets').where({ name: 'shop' }).first()).fence).toBeGreaterThanOrEqual(1000);
    expect(await takeStock(db, undefined, sign)).toBeUndefined();
    expect(await knownIncarnation(db)).toBe(incarnation);
  } finally {
    await again.drop();
  }
});

it('is noted whatever somebody wrote as the numbers of a target', async () => {
  const { db, owner } = database;
  await registerTargets(db, ['shop', 'most']);
  await takeStock(db, undefined, sign);
  await owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    await tx('targets').where({ name: 'shop' }).update({ fence: 1, lost_fence: 1_009 });
    await tx('targets').where({ name: 'most' }).update({ fence: highestFence });
    await tx.raw(`UPDATE installation SET place = place || '{"timeline": "FFFFFFFF"}'`);
  });
  expect(await takeStock(db, undefined, sign)).toMatch(/another timeline/);
  expect(await db('targets').orderBy('name').pluck('fence')).toEqual([highestFence, 2_009]);
});

it('cut back where it lay: what was exported says so, and the trail goes on from there', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  const kept = await write(db, 'a', 'b');
  const lost = await write(db, 'c', 'd', 'e');
  const mark = await markAt(db, lost);
  await putBack(kept.seq);
  expect((await verifyAudit(db, [kept, lost], whyForged)).broken?.why).toMatch(/tail was cut off/);
  expect(await takeStock(db, mark, sign)).toMatch(/lacks entry/);
  expect(await knownIncarnation(db)).toMatch(/^2-/);
  // The same process, and one that had exported less.
  expect(await takeStock(db, mark, sign)).toBeUndefined();
  const on = await write(db, 'f', 'g', 'h', 'i');
  const found = await verifyAudit(db, [kept, lost, on], whyForged);
  expect(found.broken).toBeUndefined();
  expect(found.restored).toMatchObject([{ head: kept, lost }]);
  // Which of the exported heads are in it, and which are not.
  expect(found.exported).toEqual({ there: 2, lost: { heads: 1, from: lost.seq, to: lost.seq } });
  // Without the keys nobody can tell, and the missing tail counts.
  expect((await verifyAudit(db, [kept, lost, on])).broken?.why).toMatch(/no signing keys/);
});

it('nothing begins from the start of its server on until somebody has looked, in whichever zone the clocks are', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  await db.transaction(async (tx) => {
    await tx.raw("SET LOCAL timezone = 'Asia/Tokyo'");
    await tx.raw("SET LOCAL datestyle = 'German'");
    expect(await knownIncarnation(tx)).toBe('');
  });
  await started();
  await expect(knownIncarnation(db)).rejects.toThrow(DatabaseMoved);
  await expect(knownIncarnation(db)).rejects.toThrow(/was started again/);
  expect(await takeStock(db, undefined, sign)).toBeUndefined();
  expect(await knownIncarnation(db)).toBe('');
});

it('put back where it lay, and first seen by one that knew less: who knows more notices it all the same', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  const kept = await write(db, 'a');
  const lost = await write(db, 'b');
  const mark = { ...(await markAt(db, lost)), started: 'before' };
  await putBack(kept.seq);
  expect(await takeStock(db, await markAt(db, kept), sign)).toBeUndefined();
  expect(await takeStock(db, mark, sign)).toMatch(/lacks entry/);
  expect(await takeStock(db, mark, sign)).toBeUndefined();
  await write(db, 'c');
  expect((await verifyAudit(db, [kept, lost], whyForged)).broken).toBeUndefined();
  // What was there when somebody looked, and is gone since, was cut off.
  const seen = await write(db, 'd');
  await started();
  await takeStock(db, undefined, sign);
  await cutAfter(seen.seq - 1);
  expect(await takeStock(db, { ...(await markAt(db, seen)), started: 'before' }, sign)).toBeUndefined();
});

it('another worker had exported more of what is gone: it is noted too, without another incarnation', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  const kept = await write(db, 'a');
  const one = await write(db, 'b');
  const other = await write(db, 'c');
  const marks = [await markAt(db, one), await markAt(db, other)] as const;
  await putBack(kept.seq);
  await takeStock(db, marks[0], sign);
  const incarnation = await knownIncarnation(db);
  expect(await takeStock(db, marks[1], sign)).toBeUndefined();
  expect(await takeStock(db, marks[1], sign)).toBeUndefined();
  expect(await knownIncarnation(db)).toBe(incarnation);
  await write(db, 'd');
  const found = await verifyAudit(db, [kept, one, other], whyForged);
  expect(found.broken).toBeUndefined();
  expect(found.restored.map(({ lost }) => lost?.seq)).toEqual([one.seq, other.seq]);
});

it('a tail that goes missing while the server runs was cut off: no restore explains it, also after an earlier one', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  const kept = await write(db, 'a');
  const lost = await write(db, 'b');
  const stays = async () => {
    await cutAfter(kept.seq);
    expect(await takeStock(db, await markAt(db, lost), sign)).toBeUndefined();
    await sealAudit(db);
    expect((await verifyAudit(db, [kept, lost], whyForged)).broken?.why).toMatch(/tail was cut off/);
  };
  await stays();
  expect(await knownIncarnation(db)).toBe('');
  const mark = await markAt(db, lost);
  await putBack(kept.seq);
  expect(await takeStock(db, mark, sign)).toMatch(/lacks entry/);
  const later = await write(db, 'c');
  const latest = await write(db, 'd');
  const known = await markAt(db, latest);
  await cutAfter(later.seq);
  expect(await takeStock(db, known, sign)).toBeUndefined();
  expect((await verifyAudit(db, [kept, later, latest], whyForged)).broken?.why).toMatch(/tail was cut off/);
});

it('an entry that was written over is no restore, whatever the trail says after it', async () => {
  const { db } = database;
  await takeStock(db, undefined, sign);
  await write(db, 'a');
  const honest = await write(db, 'b', 'c');
  const mark = await markAt(db, honest);
  // The owner of the tables writes an entry over and seals the rest again.
  await database.owner.transaction(async (tx) => {
    await tx.raw("SET LOCAL session_replication_role = 'replica'");
    let before = '0'.repeat(64);
    for (const row of (await tx('audit').orderBy('seq')) as { id: number; seq: number; entry: string }[]) {
      const entry = row.entry.replace('"subject" : "b"', '"subject" : "x"');
      before = linkOf(before, row.seq, entry);
      await tx('audit').where({ id: row.id }).update({ entry, hash: before });
    }
  });
  await started();
  await takeStock(db, mark, sign);
  const blessed = await write(db, 'd');
  const { broken, restored } = await verifyAudit(db, [honest, blessed], whyForged);
  expect(broken).toMatchObject({ seq: honest.seq, why: expect.stringContaining('written again') });
  expect(restored).toHaveLength(1);
  // Also when a later head with the same number is exported beside the true one.
  const same = { seq: honest.seq, hash: (await db('audit').where({ seq: honest.seq }).first()).hash };
  expect((await verifyAudit(db, [honest, same], whyForged)).broken).toMatchObject({ seq: honest.seq });
});
