import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { auditHead, genesis, linkOf, recordAudit, sealAudit, verifyAudit, type Head } from '../../db/audit';
import { decide, submit } from '../../db/change-requests';
import { markNow, type Mark } from '../../db/installation';
import { setDisabled } from '../../db/people';
import { ship, withdraw } from '../../db/promotions';
import { endSession, startSession } from '../../db/sessions';
import { registerTargets } from '../../db/targets';
import { mintToken, revokeToken } from '../../db/tokens';
import { keepAudit } from '../../worker/audit-keeper';
import { introducePeople, keyring } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';
import { until } from '../helpers/until';

let database: TestDatabase;
beforeEach(async () => {
  database = await testDatabase();
  await introducePeople(database.db);
  await registerTargets(database.db, ['shop']);
});
afterEach(() => database.drop());

const entriesOf = async (subject: string) =>
  (await database.db('audit').where({ subject }).orderBy('id')).map(
    ({ entry }) => JSON.parse(entry) as Record<string, any>,
  );
const write = (n: number) =>
  recordAudit(database.db, {
    actor: 'rosa',
    action: 'workflow.ended',
    subject: `thing ${n}`,
    why: `text ${n} ü\n"`,
  });
/** Ten sealed entries of the test, after those of the people. @returns the number of the first. */
async function sealedTen(): Promise<number> {
  for (let n = 1; n <= 10; n++) await write(n);
  await sealAudit(database.db);
  expect((await verifyAudit(database.db)).broken).toBeUndefined();
  return (await auditHead(database.db))!.seq - 9;
}
/** What somebody does who owns the tables, and first switches off what stands in the way. */
async function tamper(...statements: [string, unknown[]?][]): Promise<void> {
  await database.owner.transaction(async (tx) => {
    await tx.raw('ALTER TABLE audit DISABLE TRIGGER USER');
    for (const [sql, values] of statements) await tx.raw(sql, (values ?? []) as never);
    await tx.raw('ALTER TABLE audit ENABLE TRIGGER USER');
  });
}

describe('what is written', () => {
  it('who, what, when, before, after, why, request: for every state of a change', async () => {
    const { db } = database;
    const change = { type: 'normal', risk: 'low', description: '' } as const;
    const shipment = {
      target: 'shop',
      title: 'a title',
      revision: 'v1',
      commit: 'c',
      shippedBy: 'carla',
      change,
    };
    const id = await ship(db, { ...shipment, request: 'request-1' });
    await submit(db, id, 1, { by: 'carla', request: 'request-2' });
    const decision = { changeRequest: id, submission: 1, decision: 'approve' as const };
    await decide(db, { ...decision, id: randomUUID(), approver: 'carla', request: 'request-3' });
    await decide(db, { ...decision, id: randomUUID(), approver: 'rosa' });
    await decide(db, {
      ...decision,
      id: randomUUID(),
      approver: 'amir',
      comment: 'fine',
      request: 'request-4',
    });
    await withdraw(db, id, 'withdrawn', { by: 'rosa', why: 'not needed', request: 'request-5' });
    const found = (await entriesOf(`RFC-${id}`)).map(({ actor, action, before, after, why, request }) => [
      actor,
      action,
      before?.status ?? null,
      after.status ?? after.decision,
      why,
      request,
    ]);
    expect(found).toEqual([
      ['carla', 'change-request.draft', null, 'draft', 'a title', 'request-1'],
      ['carla', 'change-request.submitted', 'draft', 'submitted', null, 'request-2'],
      ['carla', 'decision.refused', null, 'approve', expect.stringContaining('shipped'), 'request-3'],
      ['rosa', 'decision.refused', null, 'approve', expect.stringContaining('needs approver'), null],
      ['amir', 'decision.counted', null, 'approve', 'fine', 'request-4'],
      ['amir', 'change-request.approved', 'submitted', 'approved', 'fine', 'request-4'],
      ['rosa', 'change-request.cancelled', 'approved', 'cancelled', 'not needed', 'request-5'],
    ]);
    expect((await entriesOf(`CP-${id}`)).map(({ action, actor }) => `${action} ${actor}`)).toEqual([
      'promotion.pending carla',
      'promotion.approved amir',
      'promotion.withdrawn rosa',
    ]);
    const [first] = await entriesOf(`CP-${id}`);
    expect(Math.abs(Date.parse(first!.at) - Date.now())).toBeLessThan(60_000);
  });

  it('tokens, people and sessions', async () => {
    const { db } = database;
    const by = { by: 'ada', why: 'a reason', request: 'r' };
    const made = (await mintToken(db, { person: 'tessa', grants: ['sre'], mintedBy: 'ada' }, by))!;
    await revokeToken(db, made.id, by);
    await setDisabled(db, 'tessa', true, by);
    await setDisabled(db, 'tessa', false, by);
    const session = await startSession(db, { person: 'rosa', kind: 'local', hours: 1 }, { by: 'rosa' });
    await endSession(db, 1, { by: 'rosa', why: 'signed out' });
    const all = await database.db('audit').orderBy('id');
    const said = all.map(({ action, actor, subject }) => `${action} ${subject} by ${actor}`);
    expect(said).toEqual(
      expect.arrayContaining([
        'person.added tessa by ada',
        `token.created token ${made.id} by ada`,
        `token.revoked token ${made.id} by ada`,
        'person.disabled tessa by ada',
        'person.enabled tessa by ada',
        'session.signed-in session 1 by rosa',
        'session.ended session 1 by rosa',
      ]),
    );
    expect(JSON.stringify(all)).not.toContain(made.value);
    expect(JSON.stringify(all)).not.toContain(session);
  });

  it('is not written when what it tells of did not happen', async () => {
    const before = await database.db('audit').count();
    await database.db
      .transaction(async (tx) => {
        await mintToken(tx, { person: 'tessa', grants: ['sre'] }, { by: 'ada' });
        throw new Error('no');
      })
      .catch(() => undefined);
    expect(await database.db('audit').count()).toEqual(before);
  });
});

describe('the chain', () => {
  it('has no gap, whoever writes and seals at the same time, and no writer waits for another', async () => {
    const { db } = database;
    // One writer holds its transaction open all the time; nobody waits for it.
    let finish!: () => void;
    const held = new Promise<void>((go) => (finish = go));
    const slow = db.transaction(async (tx) => {
      await recordAudit(tx, { actor: 'slow', action: 'workflow.ended', subject: 'slow' });
      await held;
    });
    await Promise.all([
      ...Array.from({ length: 200 }, (_, n) => write(n)),
      ...Array.from({ length: 20 }, () => sealAudit(db)),
    ]);
    await sealAudit(db);
    const meanwhile = await verifyAudit(db);
    finish();
    await slow;
    expect([meanwhile.broken, meanwhile.unsealed]).toEqual([undefined, 0]);
    expect((await verifyAudit(db)).unsealed).toBe(1);
    await sealAudit(db);
    const rows = await db('audit').orderBy('seq');
    expect(rows.map(({ seq }) => seq)).toEqual(rows.map((_, n) => n + 1));
    expect(rows.at(-1)).toMatchObject({ actor: 'slow' });
    const { broken, unsealed, entries } = await verifyAudit(db);
    expect([broken, unsealed, entries]).toEqual([undefined, 0, rows.length]);
  });

  it.each([
    [
      'edited',
      3,
      ([id]: number[]) => [["UPDATE audit SET entry = replace(entry, 'rosa', 'amir') WHERE id = ?", [id]]],
    ],
    [
      'edited and hashed anew',
      4,
      ([id, seq]: number[]) => [
        ["UPDATE audit SET entry = replace(entry, 'rosa', 'amir') WHERE id = ?", [id]],
        [
          `UPDATE audit a SET hash = encode(sha256(convert_to(b.hash || chr(10) || a.seq || chr(10) || a.entry, 'UTF8')), 'hex')
           FROM audit b WHERE a.id = ? AND b.seq = ?`,
          [id, seq! - 1],
        ],
      ],
    ],
    ['deleted', 3, ([id]: number[]) => [['DELETE FROM audit WHERE id = ?', [id]]]],
    [
      'deleted and closed up',
      3,
      ([id, seq]: number[]) => [
        ['DELETE FROM audit WHERE id = ?', [id]],
        ['UPDATE audit SET seq = -seq WHERE seq > ?', [seq]],
        ['UPDATE audit SET seq = -seq - 1 WHERE seq < 0', []],
      ],
    ],
    [
      'inserted',
      3,
      ([, seq]: number[]) => [
        ['UPDATE audit SET seq = -seq WHERE seq >= ?', [seq]],
        ['UPDATE audit SET seq = -seq + 1 WHERE seq < 0', []],
        ["INSERT INTO audit (entry, seq, hash) VALUES ('{}', ?, repeat('a', 64))", [seq]],
      ],
    ],
    [
      'moved',
      3,
      ([, seq]: number[]) => [
        ['UPDATE audit SET seq = -seq WHERE seq IN (?, ?)', [seq, seq! + 1]],
        ['UPDATE audit SET seq = -seq - 1 WHERE seq = ?', [-seq! - 1]],
        ['UPDATE audit SET seq = -seq + 1 WHERE seq = ?', [-seq!]],
      ],
    ],
  ] as [string, number, (row: number[]) => [string, unknown[]][]][])(
    'names the place where an entry was %s',
    async (kind, nth, statements) => {
      const first = await sealedTen();
      const seq = first + nth - 1;
      const { id } = await database.db('audit').where({ seq }).first();
      await tamper(...statements([id, seq]));
      const { broken } = await verifyAudit(database.db);
      // Whoever hashes one entry anew breaks the link to the next.
      expect(broken?.seq).toBe(kind === 'edited and hashed anew' ? seq + 1 : seq);
    },
  );

  it('shows a cut tail, and a chain written again from the start, against a head that was exported', async () => {
    const first = await sealedTen();
    const exported = [(await auditHead(database.db))!];
    expect((await verifyAudit(database.db, exported)).broken).toBeUndefined();

    await tamper(['DELETE FROM audit WHERE seq > ?', [first + 5]]);
    expect((await verifyAudit(database.db)).broken).toBeUndefined();
    expect((await verifyAudit(database.db, exported)).broken).toMatchObject({
      seq: first + 6,
      why: expect.stringContaining('its tail was cut off'),
    });
    for (let n = 1; n <= 10; n++) await write(n);
    await sealAudit(database.db);
    expect((await verifyAudit(database.db)).broken).toBeUndefined();
    expect((await verifyAudit(database.db, exported)).broken).toMatchObject({
      seq: exported[0]!.seq,
      why: expect.stringContaining('written again'),
    });
    // Each hash fits there: what is before it is no better known than by the last head that was exported.
    const { seq, hash } = await database
      .db('audit')
      .where({ seq: first + 2 })
      .first();
    expect(await verifyAudit(database.db, [{ seq, hash }, ...exported])).toMatchObject({
      entries: seq,
      broken: { why: expect.stringContaining(`from entry ${seq + 1} or later on`) },
    });
    expect(await verifyAudit(database.db, exported)).toMatchObject({ entries: 0 });
  });

  it('is hashed as documented', async () => {
    await sealedTen();
    const rows = await database.db('audit').orderBy('seq');
    let before = genesis;
    for (const { seq, entry, hash } of rows) expect((before = linkOf(before, seq, entry))).toBe(hash);
  });
});

describe('the role that Signalbox works as', () => {
  it.each([
    ["UPDATE audit SET entry = '{}'"],
    ['UPDATE audit SET seq = NULL, hash = NULL'],
    ['DELETE FROM audit'],
    ['TRUNCATE audit'],
    ["INSERT INTO audit (entry) VALUES ('{}')"],
    ['ALTER TABLE audit DISABLE TRIGGER USER'],
    ['DROP TABLE audit'],
    ['DELETE FROM decisions'],
    ["UPDATE decisions SET approver = 'amir'"],
    ["UPDATE deployment_log SET text = ''"],
    ['DROP TRIGGER audit ON promotions'],
    [
      'CREATE OR REPLACE FUNCTION record_audit(text, text, text, jsonb, jsonb, text, text) RETURNS void LANGUAGE sql AS $$ $$',
    ],
    ['DELETE FROM knex_migrations'],
    ['DELETE FROM promotions'],
    ['DELETE FROM tokens'],
  ])('may not: %s', async (sql) => {
    await write(1);
    await expect(database.db.raw(sql)).rejects.toThrow(/permission denied|must be owner/);
  });

  it('is told so even as the owner, unless the owner switches it off', async () => {
    await sealedTen();
    for (const sql of ['DELETE FROM audit', "UPDATE audit SET entry = '{}'", 'TRUNCATE audit'])
      await expect(database.owner.raw(sql)).rejects.toThrow(/append-only/);
  });
});

const whyForged = (said: unknown) => keyring.whyForged('restored', 'audit', said);
describe('the keeper', () => {
  it('blesses no chain that contradicts what it exported: written again, or shorter', async () => {
    const first = await sealedTen();
    const folder = mkdtempSync(join(tmpdir(), 'signalbox-heads-'));
    const file = join(folder, 'heads.jsonl');
    const heads = () =>
      (existsSync(file) ? readFileSync(file, 'utf8') : '')
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Head);
    const said: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => said.push(line) });
    const mark = () => markNow(database.db);
    const stock = { take: () => Promise.resolve(true), remember: mark, mark };
    const keep = () =>
      keepAudit({ db: database.db, file, config: { everySeconds: 0.01 }, stock, whyForged, log });
    let keeper = keep();
    await until('a head to be exported', () => heads().length === 1);
    const [honest] = heads() as [Head];
    // Its owner writes an entry over and seals the rest again, as far as each head that was exported.
    const { rows } = await database.owner.raw('SELECT id, seq, entry FROM audit ORDER BY seq');
    let before = genesis;
    const again = (rows as { id: number; seq: number; entry: string }[]).map(({ id, seq, entry }) => {
      const text = seq === first ? entry.replace('rosa', 'amir') : entry;
      return { id, text, hash: (before = linkOf(before, seq, text)) };
    });
    await tamper(
      ...again.map(({ id, text, hash }): [string, unknown[]] => [
        'UPDATE audit SET entry = ?, hash = ? WHERE id = ?',
        [text, hash, id],
      ]),
    );
    await until('it to be noticed', () => said.length > 0);
    await write(11);
    await sealAudit(database.db);
    await keeper.stop();
    // Another start knows it by the file alone.
    keeper = keep();
    await until('it to be noticed again', () => said.length === 2);
    await tamper(['DELETE FROM audit WHERE seq >= ?', [first]]);
    await until('the cut to be noticed', () => said.length === 3);
    await keeper.stop();
    expect(heads()).toEqual([honest]);
    expect(said.map((line) => (JSON.parse(line) as { why: string }).why)).toEqual([
      expect.stringContaining('written again'),
      expect.stringContaining('written again'),
      expect.stringContaining('cut off'),
    ]);
    rmSync(folder, { recursive: true });
  });

  it('seals, and exports the head to a file and a webhook, each head once', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'signalbox-heads-'));
    const file = join(folder, 'heads.jsonl');
    const posted: unknown[] = [];
    let status = 500;
    const hook = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk: Buffer) => (text += chunk.toString()));
      request.on('end', () => {
        if (status === 200) posted.push(JSON.parse(text));
        response.writeHead(status).end();
      });
    });
    await new Promise<void>((done) => hook.listen(0, '127.0.0.1', done));
    const exportWebhook = `http://127.0.0.1:${(hook.address() as { port: number }).port}/`;
    const config = { everySeconds: 0.01, exportWebhook };
    await write(1);
    let remembered: Mark | undefined;
    const stock = {
      take: () => Promise.resolve(true),
      remember: async () => (remembered = await markNow(database.db)),
      mark: () => markNow(database.db),
    };
    const keeper = keepAudit({
      db: database.db,
      file,
      config,
      stock,
      whyForged,
      log: pino({ level: 'silent' }),
    });
    try {
      await until('the file to hold a head', () => {
        try {
          return readFileSync(file, 'utf8').includes('\n');
        } catch {
          return false;
        }
      });
      // A webhook that fails is tried again, until it has the head.
      status = 200;
      await until('the webhook to have it', () => posted.length === 1);
      const head = await auditHead(database.db);
      const mark = { installation: expect.any(String), incarnation: '', started: expect.any(String) };
      expect(posted).toEqual([{ at: expect.any(String), ...mark, ...head }]);
      // What is sealed is known outside of the database at once: a copy of before may be put back in the next second.
      expect(remembered).toMatchObject(head!);
      await write(2);
      await until('the webhook to have the next', () => posted.length === 2);
    } finally {
      await keeper.stop();
      await new Promise((done) => hook.close(done));
    }
    const heads = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number; hash: string });
    expect((await verifyAudit(database.db, heads)).broken).toBeUndefined();
    rmSync(folder, { recursive: true });
  });
});
