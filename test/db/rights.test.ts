import { randomUUID } from 'node:crypto';
import { sayable } from '../../db/audit';
import { migrate } from '../../db/connect';
import type { TargetConfig } from '../../domain/config';
import { isTerminal, statesOf } from '../../domain/machines';
import { edit, revise } from '../../db/change-content';
import { decide, submit } from '../../db/change-requests';
import { appendLog } from '../../db/log';
import { addPerson, findPersonCalled, linkPerson, setGrants } from '../../db/people';
import { raiseFence } from '../../db/fences';
import { ship } from '../../db/promotions';
import { callable } from '../../db/rights';
import { registerTargets } from '../../db/targets';
import { mintToken } from '../../db/tokens';
import { introducePeople } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** What the login that Signalbox works by can not do, however it writes: the record holds against it as far as it claims. */
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await migrate(database.owner);
  await introducePeople(database.db);
  await registerTargets(database.db, ['shop']);
});
afterAll(() => database.drop());

const raw = (sql: string, values: unknown[] = []) => database.db.raw(sql, values as never);
async function submitted(by = 'carla'): Promise<number> {
  const id = await ship(database.db, {
    target: 'shop',
    title: 'a title',
    revision: 'v1',
    commit: 'c'.repeat(40),
    shippedBy: by,
    change: { type: 'normal', risk: 'low', description: '' },
  });
  await submit(database.db, id, 1, { by });
  return id;
}
const decision = (id: number, approver: string, more: object = {}) => ({
  id: randomUUID(),
  change_request: id,
  submission: 1,
  approver,
  decision: 'approve',
  counted: true,
  ...more,
});

describe('temporary tables', () => {
  it('can not be made', async () => {
    await expect(raw('CREATE TEMP TABLE promotions (id int)')).rejects.toThrow(/permission denied/);
  });

  it('hide nothing from a trigger, where the database lets them be made', async () => {
    const { rows } = await database.owner.raw('SELECT current_database() AS name');
    await database.owner.raw(`GRANT TEMPORARY ON DATABASE ${rows[0].name} TO PUBLIC`);
    const id = await submitted();
    const insert = database.db.transaction(async (tx) => {
      await tx.raw(
        'CREATE TEMP TABLE promotions (id int, shipped_by text, version int); CREATE TEMP TABLE change_requests (id int, requester text, version int)',
      );
      await tx('public.decisions').insert(decision(id, 'carla'));
    });
    await expect(insert).rejects.toThrow(/own change/);
    await database.owner.raw(`REVOKE TEMPORARY ON DATABASE ${rows[0].name} FROM PUBLIC`);
  });
});

it('every function has its own search path, with what is temporary last', async () => {
  const { rows } = await database.owner.raw(
    `SELECT p.oid::regprocedure::text AS name FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM unnest(proconfig) c WHERE c ~ '^search_path=.*public, pg_temp$')`,
  );
  expect(rows).toEqual([]);
});

it('who shipped and who requested stay, and so does what was once written of who and when', async () => {
  const id = await submitted();
  for (const sql of [
    "UPDATE promotions SET shipped_by = 'nobody' WHERE id = ?",
    "UPDATE change_requests SET requester = 'nobody' WHERE id = ?",
    'UPDATE change_requests SET created_at = now() WHERE id = ?',
  ])
    await expect(raw(sql, [id])).rejects.toThrow(/permission denied/);
});

it('an end can not be put into the past, nor a far deployment be invented, so that a log goes', async () => {
  const id = await submitted();
  const [one] = (await database
    .db('deployments')
    .insert({
      promotion: id,
      attempt: 1,
      target: 'shop',
      trigger: 'deploy',
      started_by: 'rosa',
      owner: `deploy/CP-${id}/1`,
      run_id: 'x',
    })
    .returning('id')) as [{ id: number }];
  await appendLog(database.db, one.id, 'build', [{ at: new Date(), stream: 'out', text: 'a line' }]);
  const lines = async () =>
    Number(((await database.db('deployment_log').count('* as n').first()) as { n: string }).n);
  await raw(
    "UPDATE deployments SET status = 'cancelled', finished_at = now() - interval '31 days' WHERE id = ?",
    [one.id],
  ).catch(() => undefined);
  await raw("UPDATE deployments SET finished_at = now() - interval '31 days' WHERE id = ?", [one.id]).catch(
    () => undefined,
  );
  await raw(
    `INSERT INTO deployments (id, promotion, attempt, target, trigger, status, started_by, owner, run_id, finished_at)
     OVERRIDING SYSTEM VALUE VALUES (5000, ?, 900, 'shop', 'deploy', 'refused', 'x', 'x', 'x', now() - interval '31 days')`,
    [id],
  ).catch(() => undefined);
  await raw("SELECT * FROM drop_logs(now() - interval '30 days')").catch(() => undefined);
  await raw(
    `INSERT INTO deployments (promotion, attempt, target, trigger, status, started_by, owner, run_id, finished_at)
     VALUES (?, 2, 'shop', 'deploy', 'refused', 'x', 'x', 'x', now() - interval '31 days')`,
    [id],
  );
  const { rows } = await raw(
    "SELECT attempt, finished_at > now() - interval '1 hour' AS lately FROM deployments WHERE promotion = ? ORDER BY attempt",
    [id],
  );
  expect(rows).toEqual([
    { attempt: 1, lately: true },
    { attempt: 2, lately: true },
  ]);
  expect(await lines()).toBe(1);
});

describe('what the record says of an attempt', () => {
  const attempt = async (): Promise<number> => {
    const promotion = await submitted();
    const [{ id }] = (await database
      .db('deployments')
      .insert({
        promotion,
        attempt: 1,
        target: 'shop',
        trigger: 'deploy',
        started_by: 'rosa',
        owner: `deploy/CP-${promotion}/1`,
        run_id: 'x',
        status: 'running',
      })
      .returning('id')) as [{ id: number }];
    const sha256 = 'b'.repeat(64);
    await database
      .db('backups')
      .insert({ deployment: id, reference: '/a', sha256, bytes: 1, entries: 1, verified_at: new Date() });
    for (const [name, status] of [
      ['swap', 'done'],
      ['health-check', 'running'],
    ])
      await database.db('deployment_steps').insert({ deployment: id, name, status, round: 1, attempt: 1 });
    return id;
  };
  const changes = [
    "UPDATE deployments SET status = 'running' WHERE id = ?",
    "UPDATE deployments SET to_release = 'x' WHERE id = ?",
    `UPDATE deployments SET observed = '{"kind": "nothing"}' WHERE id = ?`,
    "UPDATE deployments SET outcome = 'all is well' WHERE id = ?",
    'UPDATE deployments SET fence = 99 WHERE id = ?',
    "UPDATE deployment_steps SET status = 'failed' WHERE deployment = ? AND name = 'swap'",
    "UPDATE deployment_steps SET detail = 'x' WHERE deployment = ? AND name = 'swap'",
    "UPDATE backups SET reference = '/b' WHERE deployment = ?",
    'UPDATE backups SET sha256 = reverse(sha256 || 1) WHERE deployment = ?',
  ];
  it('stays once it has ended', async () => {
    const id = await attempt();
    await raw("UPDATE deployments SET status = 'rolled-back' WHERE id = ?", [id]);
    for (const sql of changes)
      await expect(raw(sql, [id])).rejects.toThrow(
        /has ended as rolled-back: what the record says of it stays/,
      );
    for (const sql of [
      "UPDATE deployment_steps SET status = 'failed' WHERE deployment = ? AND name = 'health-check'",
      'UPDATE backups SET removed_at = now() WHERE deployment = ?',
      'UPDATE deployments SET swept_at = now() WHERE id = ?',
    ])
      expect((await raw(sql, [id])).rowCount).toBe(1);
  });
  it.each(statesOf('deployment').filter((state) => isTerminal('deployment', state)))(
    'stays when it is %s',
    async (status) => {
      const id = await attempt();
      await raw('UPDATE deployments SET status = ? WHERE id = ?', [status, id]);
      await expect(raw("UPDATE deployments SET outcome = 'x' WHERE id = ?", [id])).rejects.toThrow(
        /ended as/,
      );
    },
  );
  it('is written until then, which the test above would not notice', async () => {
    const id = await attempt();
    for (const sql of changes) expect((await raw(sql, [id])).rowCount).toBe(1);
    await raw("UPDATE deployments SET status = 'rolled-back' WHERE id = ?", [id]);
  });
});

it('a session is not made that of somebody else', async () => {
  await expect(raw("UPDATE sessions SET person = 'amir'")).rejects.toThrow(/permission denied/);
});

/** What Signalbox notes for itself while it works; people decide on none of it. */
const noted: Record<string, string[]> = {
  promotions: ['moved', 'version', 'updated_at', 'status'],
  change_requests: [
    'moved',
    'version',
    'updated_at',
    'status',
    'followed_at',
    'outcome',
    'asked_at',
    'reminded_at',
    'escalated_at',
    'review_due_at',
    'review_overdue_at',
    'incarnation',
    'submission',
    'revision',
    'digest',
    'recipe',
    'acts',
    'commits',
    'files',
    'lines',
    'computed_risk',
    'risk_reasons',
  ],
  people: ['moved', 'updated_at'],
  targets: ['moved', 'updated_at', 'version', 'observed_at'],
  adoptions: ['live', 'ended_at'],
  tokens: ['moved', 'last_used_at'],
  sessions: ['moved', 'last_used_at'],
  backlog_items: ['moved', 'updated_at', 'version', 'rank', 'started_at', 'done_at'],
  wip_limits: ['moved', 'version'],
  words: ['moved', 'version', 'updated_at', 'outcome', 'ended_at'],
};
const stamps =
  /^(submitted|approved|executing|deployed|rolled_back|rejected|withdrawn|superseded|in_progress|completed|cancelled)_at$/;

it('nothing that people decide on is changed without an entry that says so', async () => {
  const { db, owner } = database;
  const id = await submitted();
  await mintToken(db, { person: 'tessa', grants: ['sre'] }, { by: 'ada' });
  await raw(
    `INSERT INTO sessions (token_sha256, person, kind, expires_at) VALUES ('x', 'rosa', 'oidc', now())`,
  );
  await raw(`INSERT INTO backlog_items (title) VALUES ('an item')`);
  await raw(`INSERT INTO epics (title) VALUES ('an epic')`);
  await raw(`INSERT INTO blockers (item, reason, raised_by) SELECT id, 'x', 'rosa' FROM backlog_items`);
  await raw(
    `INSERT INTO deployment_windows (name, kind, start, time_zone, duration_minutes, created_by)
     VALUES ('a window', 'freeze', '2026-01-01T00:00', 'UTC', 60, 'rosa')`,
  );
  await raw(
    `INSERT INTO window_overrides (deployment_window, promotion, reason, requested_by, expires_at)
     SELECT id, ?, 'x', 'rosa', now() FROM deployment_windows`,
    [id],
  );
  await raw(
    `INSERT INTO words (change_request, submission, kind, said_by, request, said) VALUES (?, 1, 'decision', 'amir', 'r', '{"id": "x"}')`,
    [id],
  );
  const { rows } = await owner.raw(
    `SELECT c.table_name AS tab, c.column_name AS col, c.udt_name AS type FROM information_schema.columns c
      WHERE c.table_schema = 'public' AND c.table_name = ANY (?) AND has_column_privilege('signalbox_app', c.table_name, c.column_name, 'UPDATE')`,
    [[...Object.keys(noted), 'deployment_windows', 'window_overrides', 'epics', 'blockers']] as never,
  );
  const values: Record<string, string> = {
    text: "'changed'",
    timestamptz: "now() + interval '1 day'",
    date: "'2031-01-01'",
    int4: '7',
    _text: "'{changed}'",
    jsonb: `'{"changed": 1}'`,
  };
  const unsaid: string[] = [];
  const undone = db.transaction(async (tx) => {
    const count = async () => Number(((await tx('audit').count('* as n').first()) as { n: string }).n);
    for (const { tab, col, type } of rows as { tab: string; col: string; type: string }[]) {
      if (noted[tab]?.includes(col) || stamps.test(col)) continue;
      const before = await count();
      const changed = await tx
        .transaction((inner) => inner.raw(`UPDATE ${tab} SET ${col} = ${values[type]}`))
        .then(
          ({ rowCount }: { rowCount: number }) => rowCount > 0,
          () => false,
        );
      if (changed && (await count()) === before) unsaid.push(`${tab}.${col}`);
    }
    throw new Error('undone');
  });
  await expect(undone).rejects.toThrow('undone');
  expect(unsaid).toEqual([]);
});

it('a decision that waits is not silenced without an entry', async () => {
  const id = await submitted();
  await raw(
    `INSERT INTO words (change_request, submission, kind, said_by, request, said, moved)
     VALUES (?, 1, 'decision', 'amir', 'r2', '{"id": "y", "decision": "reject"}', '{"by": "amir"}')`,
    [id],
  );
  const entries = () => database.db('audit').where({ subject: `RFC-${id}`, action: 'decision.refused' });
  await raw(`UPDATE words SET status = 'refused', outcome = 'never mind' WHERE change_request = ?`, [id]);
  expect(await entries()).toEqual([expect.objectContaining({ actor: 'unknown', request: 'r2' })]);
  // With its verdict it has the entry of that, and no other.
  const said = { id: randomUUID(), approver: 'rosa', decision: 'approve' as const };
  await raw(
    `INSERT INTO words (change_request, submission, kind, said_by, request, said) VALUES (?, 1, 'decision', 'rosa', 'r3', ?)`,
    [id, JSON.stringify(said)],
  );
  await decide(database.db, { ...said, changeRequest: id, submission: 1 });
  expect((await entries()).map(({ actor }) => actor)).toEqual(['unknown', 'rosa']);
});

it('the parts of the log are made by their trigger alone', async () => {
  await expect(raw('SELECT make_log_partition(2000000000)')).rejects.toThrow(/permission denied/);
});

/** Which of these the login may have written by itself. */
const saidOf = async (actions: readonly string[]) => {
  const said: string[] = [];
  for (const action of actions) {
    const before = await database.db('audit').where({ action });
    await raw("SELECT record_audit('amir', ?, 'RFC-1', NULL, NULL, NULL, NULL)", [action]).catch(
      (thrown: unknown) => expect(String(thrown)).toMatch(/is written when it happens/),
    );
    if ((await database.db('audit').where({ action })).length > before.length) said.push(action);
  }
  return said;
};

it('of all actions that are ever recorded, those alone are said by itself for which no row stands', async () => {
  const { rows } = await database.owner.raw(
    `SELECT DISTINCT (regexp_matches(prosrc, '''([a-z-]+[.][a-z-]+)''', 'g'))[1] AS action FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace AND proname <> 'sayable_actions'`,
  );
  const ofTriggers = (rows as { action: string }[]).map(({ action }) => action);
  expect(ofTriggers).toEqual(
    expect.arrayContaining(['change-request.edited', 'person.added', 'log.removed']),
  );
  const states = (['promotion', 'changeRequest', 'deployment'] as const).flatMap((machine) =>
    statesOf(machine).map(
      (state) => `${machine === 'changeRequest' ? 'change-request' : machine}.${state as string}`,
    ),
  );
  const never = [
    'backlog-item.created',
    'epic.changed',
    'cancel.said',
    'resolve.done',
    'what.ever',
    'target.adopted',
    'target.fence-raised',
    'deployment.taken-over',
    'adoption.asked',
  ];
  expect(await saidOf([...ofTriggers, ...states, ...never])).toEqual([]);
  expect(await saidOf(sayable)).toEqual([...sayable]);
});

it('the functions that it may call are these', async () => {
  const { rows } = await database.owner.raw(
    `SELECT p.proname AS name FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND has_function_privilege('signalbox_app', p.oid, 'EXECUTE') ORDER BY 1`,
  );
  expect(rows.map(({ name }: { name: string }) => name)).toEqual([...callable].sort());
});

describe('who moved a row', () => {
  const lastOf = (subject: string) => database.db('audit').where({ subject }).orderBy('id', 'desc').first();

  it('is who says so in this very change, not who had moved it before', async () => {
    const id = await submitted('carla');
    await raw("UPDATE change_requests SET status = 'approved' WHERE id = ?", [id]);
    expect(await lastOf(`RFC-${id}`)).toMatchObject({ action: 'change-request.approved', actor: 'unknown' });
    await raw("UPDATE promotions SET status = 'approved' WHERE id = ?", [id]);
    expect(await lastOf(`CP-${id}`)).toMatchObject({ action: 'promotion.approved', actor: 'unknown' });
    const made = await mintToken(database.db, { person: 'theo', grants: ['sre'] }, { by: 'ada' });
    await raw('UPDATE tokens SET revoked_at = now() WHERE id = ?', [made!.id]);
    expect(await lastOf(`token ${made!.id}`)).toMatchObject({ action: 'token.revoked', actor: 'unknown' });
    await raw("UPDATE people SET grants = '{admin}' WHERE name = 'theo'");
    expect(await lastOf('theo')).toMatchObject({ action: 'person.grants-changed', actor: 'unknown' });
  });

  it('is named by each who says it, also who says the same twice', async () => {
    const id = await submitted('carla');
    const move = JSON.stringify({ by: 'rosa' });
    for (const status of ['rejected', 'draft', 'submitted']) {
      await raw('UPDATE change_requests SET status = ?, moved = ? WHERE id = ?', [status, move, id]);
      expect(await lastOf(`RFC-${id}`)).toMatchObject({ action: `change-request.${status}`, actor: 'rosa' });
    }
  });

  it('is never Signalbox where only people change it', async () => {
    const own = JSON.stringify({ by: 'signalbox', why: 'nothing to see' });
    for (const sql of [
      "UPDATE change_requests SET description = 'of nobody', moved = ? WHERE id = ?",
      `UPDATE change_requests SET policy = '{"levels": []}', moved = ? WHERE id = ?`,
      "UPDATE promotions SET commit = 'e', moved = ? WHERE id = ?",
    ]) {
      const id = await submitted('carla');
      await raw(sql, [own, id]);
      expect(await lastOf(`RFC-${id}`)).toMatchObject({ action: 'change-request.edited', actor: 'unknown' });
      const authors = await database.db('authors').where({ change_request: id }).select('person');
      expect([sql, authors]).toEqual([sql, [{ person: 'unknown' }]]);
    }
    const { rows } = await raw("INSERT INTO epics (title) VALUES ('an epic') RETURNING id");
    await raw("UPDATE epics SET title = 'x', moved = ? WHERE id = ?", [own, rows[0].id]);
    expect(await lastOf(`EPIC-${rows[0].id}`)).toMatchObject({ action: 'epic.changed', actor: 'unknown' });
  });

  it('who linked an account stays as long as it is that account', async () => {
    const { db } = database;
    await addPerson(db, 'lina', { by: 'ada' });
    await linkPerson(db, 'lina', 'idp lina', { by: 'ada' });
    await expect(raw("UPDATE people SET linked_by = NULL WHERE name = 'lina'")).rejects.toThrow(/stays/);
    await linkPerson(db, 'lina', 'idp lina', { by: 'lina' });
    expect(await db('people').where({ name: 'lina' }).first()).toMatchObject({ linked_by: 'ada' });
    expect(JSON.parse((await lastOf('lina')).entry).after).toMatchObject({ linkedBy: 'ada' });
  });

  it('whose an attempt is does not change without an entry', async () => {
    const id = await submitted();
    await raw(
      `INSERT INTO deployments (promotion, attempt, target, trigger, started_by, owner, run_id) VALUES (?, 1, 'shop', 'deploy', 'rosa', 'x', 'x')`,
      [id],
    );
    await raw("UPDATE deployments SET owner = 'deploy/mine' WHERE promotion = ?", [id]);
    const entry = await lastOf(`CP-${id}.1`);
    expect(entry).toMatchObject({ action: 'deployment.taken-over', actor: 'unknown' });
    expect(JSON.parse(entry.entry).after).toEqual({ workflow: 'deploy/mine' });
    await raw("UPDATE deployments SET status = 'cancelled' WHERE promotion = ?", [id]);
  });
});

describe('what the record says of a target', () => {
  const most = '9223372036854775807';
  it('is bounded, and never goes back', async () => {
    await registerTargets(database.db, ['bounded']);
    for (const value of [most, '1000000000001', '-1'])
      for (const column of ['fence', 'lost_fence'])
        await expect(raw(`UPDATE targets SET ${column} = ${value} WHERE name = 'bounded'`)).rejects.toThrow(
          /targets_fence|only rise/,
        );
    await raw("UPDATE targets SET fence = 7, lost_fence = 3 WHERE name = 'bounded'");
    for (const sql of ['fence = 6', 'lost_fence = 2'])
      await expect(raw(`UPDATE targets SET ${sql} WHERE name = 'bounded'`)).rejects.toThrow(/only rise/);
    await expect(raw(`INSERT INTO targets (name, fence) VALUES ('new', 5)`)).rejects.toThrow(
      /begins with no number/,
    );
    const id = await submitted();
    const insert = (fence: string) =>
      raw(
        `INSERT INTO deployments (promotion, attempt, target, trigger, started_by, owner, run_id, fence)
         VALUES (?, 1, 'shop', 'deploy', 'rosa', 'x', 'x', ${fence}) RETURNING id`,
        [id],
      );
    await expect(insert(most)).rejects.toThrow(/deployments_fence/);
    const attempt = (await insert('1')).rows[0].id as number;
    await expect(
      raw("UPDATE targets SET current_deployment = ? WHERE name = 'bounded'", [attempt]),
    ).rejects.toThrow(/none of bounded/);
    await raw("UPDATE deployments SET status = 'cancelled' WHERE id = ?", [attempt]);
  });

  it('has an entry for each change but the next number', async () => {
    await registerTargets(database.db, ['told']);
    const told = async () =>
      (await database.db('audit').where({ subject: 'told' }).orderBy('id')).map(({ entry }) => {
        const { action, actor, before, after } = JSON.parse(entry) as Record<string, unknown>;
        return { action, actor, before, after };
      });
    await raw("UPDATE targets SET fence = fence + 1 WHERE name = 'told'");
    expect(await told()).toEqual([]);
    await raw("UPDATE targets SET fence = 900 WHERE name = 'told'");
    await raw(`UPDATE targets SET observed = '{"kind": "nothing"}' WHERE name = 'told'`);
    await raw("UPDATE targets SET root = '/first' WHERE name = 'told'");
    const live = { kind: 'nothing' };
    expect(await told()).toEqual([
      { action: 'target.fence-raised', actor: 'unknown', before: { fence: 1 }, after: { fence: 900 } },
      { action: 'target.changed', actor: 'unknown', before: { live: null }, after: { live } },
      { action: 'target.changed', actor: 'unknown', before: { root: null }, after: { root: '/first' } },
    ]);
  });

  it('is adopted with an entry of who asked, and under a number that was given out', async () => {
    await registerTargets(database.db, ['adopted']);
    const insert = (columns: string, values: string) =>
      raw(
        `INSERT INTO adoptions (id, target, adopted_by, reason, fence${columns})
         VALUES (gen_random_uuid(), 'adopted', 'sven', 'why', ${values}) RETURNING id`,
      );
    for (const fence of ['1', most]) await expect(insert('', fence)).rejects.toThrow(/not given out/);
    await raw("UPDATE targets SET fence = 1 WHERE name = 'adopted'");
    await expect(insert(', adopted', '1, true')).rejects.toThrow(/only been asked for/);
    const { id } = (await insert('', '1')).rows[0] as { id: string };
    await raw("UPDATE adoptions SET adopted = true, outcome = 'x' WHERE id = ?", [id]);
    await expect(raw("UPDATE adoptions SET outcome = 'y' WHERE id = ?", [id])).rejects.toThrow(/has ended/);
    const entries = await database.db('audit').where({ subject: 'adopted' }).orderBy('id');
    expect(entries.map(({ action, actor }) => [action, actor])).toEqual([
      ['adoption.asked', 'sven'],
      ['target.adopted', 'sven'],
    ]);
  });

  it('says plainly that no number is left', async () => {
    await registerTargets(database.db, ['full']);
    await database.owner.transaction(async (tx) => {
      await tx.raw('ALTER TABLE targets DROP CONSTRAINT targets_fence');
      await tx('targets').where({ name: 'full' }).update({ fence: most });
      await tx.raw(
        'ALTER TABLE targets ADD CONSTRAINT targets_fence CHECK (fence <= 1000000000000) NOT VALID',
      );
    });
    await expect(raiseFence(database.db, 'full')).rejects.toThrow(
      /full has no fencing number left.*"signalbox doctor"/s,
    );
  });
});

it('no counter is put at its end', async () => {
  const { rows } = await database.owner.raw(
    `SELECT c.table_name AS tab, c.column_name AS col FROM information_schema.columns c
      WHERE c.table_schema = 'public' AND c.column_name IN ('version', 'submission', 'round') AND c.data_type = 'integer'
        AND has_column_privilege('signalbox_app', c.table_name, c.column_name, 'UPDATE')
        AND c.table_name <> 'deployment_steps'`,
  );
  await submitted();
  await raw(`INSERT INTO backlog_items (title) VALUES ('an item')`);
  await raw(`INSERT INTO epics (title) VALUES ('an epic')`);
  const put: string[] = [];
  const counted = [...(rows as { tab: string; col: string }[]), { tab: 'window_revision', col: 'revision' }];
  for (const { tab, col } of counted) {
    const changed = await raw(`UPDATE ${tab} SET ${col} = 2147483647`).then(
      ({ rowCount }: { rowCount: number }) => rowCount > 0,
      () => false,
    );
    if (changed) put.push(`${tab}.${col}`);
  }
  expect(put).toEqual([]);
  expect(counted.length).toBeGreaterThan(10);
});

it('the incarnation of the database does not change without an entry', async () => {
  const undone = database.db.transaction(async (tx) => {
    await tx('installation').update({ incarnation: '2-abc' });
    expect(await tx('audit').where({ action: 'database.incarnation' })).toHaveLength(1);
    throw new Error('undone');
  });
  await expect(undone).rejects.toThrow('undone');
});

it('numbers are given out by the database alone', async () => {
  const { rows } = await database.owner.raw(
    `SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public'
        AND has_sequence_privilege('signalbox_app', quote_ident(sequencename), 'UPDATE')`,
  );
  expect(rows).toEqual([]);
});

/** As one that names no levels of approval. */
const target = { approval: [] } as unknown as TargetConfig;
const approves = (id: number, approver: string, submission = 1, more: object = {}) =>
  decide(database.db, {
    id: randomUUID(),
    changeRequest: id,
    submission,
    approver,
    decision: 'approve',
    ...more,
  });

describe('an author', () => {
  const bo = { by: 'bo', request: 'r' };
  it.each([
    [
      'changed the revision',
      {
        code: {
          revision: 'v2',
          commit: 'd'.repeat(40),
          facts: { commits: [], files: [], lines: 0, computedRisk: 'low', riskReasons: [] },
        },
      },
    ],
    ['changed the title', { title: 'another' }],
    ['changed the plan', { rollbackPlan: 'pray' }],
    ['raised the risk', { risk: 'high' }],
  ] as const)('who %s does not approve it, nor does a token that they minted', async (_what, wanted) => {
    const id = await submitted();
    await edit(database.db, id, wanted as never, target, bo);
    expect(await approves(id, 'bo')).toMatchObject({ counted: false, refusal_code: 'own-change' });
    expect(await approves(id, 'BO')).toMatchObject({ counted: false, refusal_code: 'own-change' });
    expect(await approves(id, 'amir', 1, { mintedBy: 'bo' })).toMatchObject({ counted: false });
    const { digest } = await database.db('change_requests').where({ id }).first();
    await expect(database.db('decisions').insert(decision(id, 'bo', { digest }))).rejects.toThrow(
      /own change/,
    );
    await expect(
      database.owner('decisions').insert(decision(id, 'amir', { digest, minted_by: 'Bo' })),
    ).rejects.toThrow(/own change/);
    expect(await approves(id, 'amir')).toMatchObject({ counted: true });
    const said = (await database
      .db('audit')
      .where({ action: 'change-request.edited', subject: `RFC-${id}` })) as {
      actor: string;
    }[];
    expect(said.map(({ actor }) => actor)).toEqual(['bo']);
  });

  it('is who changed the draft, and who changed it before it was submitted again, however often', async () => {
    const { db } = database;
    const id = await ship(db, {
      target: 'shop',
      title: 't',
      revision: 'v1',
      commit: 'c'.repeat(40),
      shippedBy: 'carla',
      change: { type: 'normal', risk: 'low', description: '' },
    });
    await edit(db, id, { description: 'of bo' }, target, bo);
    await submit(db, id, 1, { by: 'carla' });
    expect(await approves(id, 'bo')).toMatchObject({ refusal_code: 'own-change' });
    const again = async (submission: number) => {
      await decide(db, {
        id: randomUUID(),
        changeRequest: id,
        submission: submission - 1,
        approver: 'anna',
        decision: 'reject',
        comment: 'no',
      });
      await revise(db, id, { by: 'carla' });
      if (submission === 2)
        await edit(db, id, { description: 'of rosa' }, target, { by: 'rosa', request: 's' });
      await submit(db, id, submission, { by: 'carla' });
    };
    await setGrants(db, 'rosa', ['approver', 'release-manager'], { by: 'ada' });
    await again(2);
    expect(await approves(id, 'rosa', 2)).toMatchObject({ refusal_code: 'own-change' });
    await again(3);
    for (const author of ['bo', 'rosa'])
      expect(await approves(id, author, 3)).toMatchObject({ refusal_code: 'own-change' });
    expect(await approves(id, 'amir', 3)).toMatchObject({ counted: true });
  });

  it('vouches for nobody who lets somebody in who approves it', async () => {
    const id = await submitted();
    const tokens = database.owner('tokens');
    await tokens.insert({ token_sha256: `a ${id}`, person: 'bo', roles: ['admin'], minted_by: 'Carla' });
    expect(await approves(id, 'amir', 1, { mintedBy: 'bo' })).toMatchObject({ refusal_code: 'own-change' });
    expect(await approves(id, 'amir')).toMatchObject({ counted: true });
  });

  it('does not override a window for it; one asked for before is revoked', async () => {
    const { db } = database;
    const id = await submitted();
    const [window] = (await db('deployment_windows')
      .insert({
        name: `w ${id}`,
        kind: 'freeze',
        start: '2026-01-01T00:00',
        time_zone: 'UTC',
        duration_minutes: 60,
        created_by: 'rosa',
      })
      .returning('id')) as { id: number }[];
    const asked = {
      deployment_window: window!.id,
      promotion: id,
      reason: 'x',
      expires_at: '2031-01-01',
      requested_by: 'rosa',
    };
    await db('window_overrides').insert(asked);
    await expect(
      db('window_overrides').insert({ ...asked, seconded_by: 'ROSA', seconded_at: db.fn.now() }),
    ).rejects.toThrow(/three people/);
    await edit(db, id, { description: 'of rosa' }, target, { by: 'rosa', request: 't' });
    expect(await db('window_overrides').where({ promotion: id }).first()).toMatchObject({
      revoked_at: expect.any(Date),
    });
    await expect(db('window_overrides').insert(asked)).rejects.toThrow(/three people/);
  });
});

it('what was approved is void once any of it is changed, by whom and how ever, and does not come back', async () => {
  const { db } = database;
  for (const change of [
    "UPDATE promotions SET commit = 'e' WHERE id = ?",
    "UPDATE promotions SET title = 'e' WHERE id = ?",
    "UPDATE change_requests SET rollback_plan = 'e' WHERE id = ?",
    `UPDATE change_requests SET policy = '{"levels": []}' WHERE id = ?`,
    "UPDATE change_requests SET recipe = 'e' WHERE id = ?",
  ]) {
    const id = await submitted();
    expect(await approves(id, 'amir')).toMatchObject({ counted: true });
    const { digest } = await db('change_requests').where({ id }).first();
    await raw(change, [id]);
    expect((await raw('SELECT standing_approvals(?) AS a', [id])).rows).toEqual([{ a: [] }]);
    await expect(raw('UPDATE change_requests SET digest = ? WHERE id = ?', [digest, id])).rejects.toThrow(
      /does not come back/,
    );
    await expect(raw('UPDATE change_requests SET submission = 0 WHERE id = ?', [id])).rejects.toThrow(
      /only rise/,
    );
  }
});

describe('a person', () => {
  it('is one, however the name is written', async () => {
    const { db } = database;
    for (const name of ['Omar', 'omar', 'OMAR', ' omar', 'o\u200bmar', '\uff2f\uff4d\uff41\uff52'])
      expect(await addPerson(db, name, { by: 'ada' })).toBe('Omar');
    expect(await db('people').whereRaw("lower(name) LIKE '%omar%'")).toHaveLength(1);
    const made = await mintToken(db, { person: 'oMAR', grants: ['sre'] }, { by: 'ada' });
    expect(await db('tokens').where({ id: made!.id }).first()).toMatchObject({ person: 'Omar' });
    await expect(db('people').insert({ name: 'omar' })).rejects.toThrow(/omar is called Omar here/);
    // Letters beyond ASCII too, whatever the locale of the database.
    await addPerson(db, 'Élodie', { by: 'ada' });
    expect((await findPersonCalled(db, 'ÉLODIE'))?.name).toBe('Élodie');
  });

  it('of two spellings that were here before has shipped what the other would approve', async () => {
    await database.owner.transaction(async (tx) => {
      await tx.raw("SET LOCAL session_replication_role = 'replica'");
      await tx('people').insert([
        { name: 'Petra', grants: ['approver'] },
        { name: 'petra', grants: ['contributor'] },
      ]);
    });
    const id = await submitted('petra');
    expect(await approves(id, 'Petra')).toMatchObject({ counted: false, refusal_code: 'own-change' });
    await expect(database.db('decisions').insert(decision(id, 'Petra'))).rejects.toThrow(/own change/);
    expect(await addPerson(database.db, 'petra', { by: 'ada' })).toBe('petra');
  });

  it.each(['signalbox', 'Signalbox', ' unknown ', 'UNKNOWN', 'operator root@host', '\u200b'])(
    'is not called %j, which Signalbox signs with',
    async (name) => {
      await expect(addPerson(database.db, name, { by: 'ada' })).rejects.toThrow(/Nobody can be called/);
      await expect(database.db('people').insert({ name })).rejects.toThrow(/nobody can be called/);
    },
  );
});
