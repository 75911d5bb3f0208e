import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { readBack, unpack } from '../../activities/archive';
import { sealAudit, verifyAudit } from '../../db/audit';
import type { Db } from '../../db/connect';
import type { DeploymentRow } from '../../db/deployments';
import { machines } from '../../domain/machines';
import type { Stack } from './stack';
import { until } from '../helpers/until';

/** What must hold after every cell, whatever was struck: I1 to I9. Each answers with what is wrong, in plain words. */
export interface Expected {
  /** The attempt's key, CP-7.1. */
  attempt: string;
  /** As the API told it. */
  status: string;
  /** Checksums of the target's data before the deployment. */
  data: Record<string, string>;
  /** What was current before it. */
  from: string;
}

export async function violations(stack: Stack, expected: Expected): Promise<string[]> {
  return stack.withDb(async (db) => {
    const [promotion, number] = expected.attempt.slice(3).split('.').map(Number);
    const row = (await db('deployments').where({ promotion, attempt: number }).first()) as DeploymentRow;
    const seen = await siteWasThere(stack, db, row, expected);
    const found = await Promise.all([
      backupRestores(db, row, expected),
      recordIsWhole(db, row, expected),
      nothingIsLeft(stack, db),
      effectsAreSingle(stack, db, row),
      dataIsRight(stack, db, row, expected),
    ]);
    return [...seen, ...found.flat()];
  });
}

/**
 * I1: exactly one known version, always. One exception, where data goes back with the release: from the beginning of
 * take-out to the end of undo-swap there may be none, and in between there is none.
 */
async function siteWasThere(
  stack: Stack,
  db: Db,
  row: DeploymentRow,
  { from, status }: Expected,
): Promise<string[]> {
  const { samples, seen, looks } = stack.prober.take();
  const [out, back] = await Promise.all(
    ['take-out', 'undo-swap'].map((name) =>
      db('deployment_steps').where({ deployment: row.id, name }).first(),
    ),
  );
  const isOut = out && row.migration_began;
  const failures = looks
    .filter(({ failure }) => failure !== undefined)
    .filter(({ at }) => !isOut || at < +out.started_at || at > +(back?.finished_at ?? Infinity) + slackMs)
    .map(({ failure }) => failure);
  const mixed =
    isOut && back
      ? looks.filter(
          ({ at, saw }) =>
            saw.length > 0 && at > +out.finished_at + slackMs && at < +back.started_at - slackMs,
        )
      : [];
  const known = [from, row.to_release];
  const unknown = [...seen].filter((release) => !known.includes(release));
  const current = basename(readlinkSync(join(stack.root, 'current')));
  const right = status === 'succeeded' ? row.to_release : from;
  return [
    ...(samples < 20 ? [`I1: only ${samples} samples were taken`] : []),
    ...(failures.length > 0 ? [`I1: ${failures.length} of ${samples} samples failed: ${failures[0]}`] : []),
    ...(mixed.length > 0 ? [`I1: ${mixed[0]!.saw.join()} was served while data went back`] : []),
    ...(unknown.length > 0 ? [`I1: unknown releases were seen: ${unknown.join(', ')}`] : []),
    ...(current !== right ? [`I1: ${current} is current, not ${right}`] : []),
  ];
}

/** What a look may take. */
const slackMs = 100;

/** I2: the backup restores to what was there before. */
async function backupRestores(db: Db, row: DeploymentRow, { data }: Expected): Promise<string[]> {
  const made = await db('deployment_steps')
    .where({ deployment: row.id, name: 'backup', status: 'done' })
    .first();
  const swapped = await db('deployment_steps').where({ deployment: row.id, name: 'swap' }).first();
  if (!made) return swapped ? ['I2: it was swapped without a backup'] : [];
  const backup = await db('backups').where({ deployment: row.id }).first();
  if (!backup) return ['I2: there is no backup'];
  const whole = await readBack(backup.reference);
  if (whole.sha256 !== backup.sha256) return [`I2: ${backup.reference} is not what was written`];
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-restored-'));
  try {
    await unpack(backup.reference, folder);
    const restored = checksums(folder);
    const before = Object.entries(data);
    const wrong = before.filter(([file, sum]) => restored[relative('/', file)] !== sum);
    return [
      ...(before.length === 0 ? ['I2: there was no data to compare'] : []),
      ...wrong.map(([file]) => `I2: ${file} is not in the backup as it was before the deployment`),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** I3 and I5: gapless log, whole chain, legal moves, one end. */
async function recordIsWhole(db: Db, row: DeploymentRow, { attempt, status }: Expected): Promise<string[]> {
  const wrong: string[] = [];
  const log = await db('deployment_log').where({ deployment: row.id }).orderBy('seq').select('seq');
  const gap = log.findIndex(({ seq }, n) => seq !== n + 1);
  if (gap >= 0) wrong.push(`I3: the log has a gap at line ${gap + 1} of ${log.length}`);
  // One that ended before its first step has nothing to tell.
  if (log.length === 0 && row.started_at && status !== 'rolled-back') wrong.push('I3: the log is empty');
  if (log.length !== row.log_seq) wrong.push(`I3: ${log.length} lines, but ${row.log_seq} were counted`);
  const steps = await db('deployment_steps').where({ deployment: row.id, status: 'running' });
  if (steps.length > 0)
    wrong.push(`I3: ${steps.map(({ name }) => name).join(', ')} still runs in the record`);

  await sealAudit(db);
  const { broken, entries } = await verifyAudit(db);
  if (broken) wrong.push(`I3: audit entry ${broken.seq}: ${broken.why}`);
  if (entries === 0) wrong.push('I3: the audit trail is empty');
  const moves = await movesOf(db, attempt);
  for (const { before, after } of moves) {
    const legal =
      before === null
        ? ['queued', 'waiting-for-window', 'refused'].includes(after)
        : (machines.deployment[before as keyof typeof machines.deployment].to as readonly string[]).includes(
            after,
          );
    if (!legal) wrong.push(`I3: it moved from ${before} to ${after}`);
  }
  const ends = moves.filter(
    ({ after }) => machines.deployment[after as keyof typeof machines.deployment].to.length === 0,
  );
  if (ends.length !== 1 || ends[0]!.after !== status)
    wrong.push(
      `I5: it ended as ${ends.map(({ after }) => after).join(', ') || 'nothing'}, not once as ${status}`,
    );
  return wrong;
}

async function movesOf(db: Db, attempt: string): Promise<{ before: string | null; after: string }[]> {
  const rows = await db('audit').where({ subject: attempt }).orderBy('id').select('entry');
  return rows
    .map(
      ({ entry }) =>
        JSON.parse(entry as string) as { before?: { status?: string }; after?: { status?: string } },
    )
    .filter(({ after }) => after?.status)
    .map(({ before, after }) => ({ before: before?.status ?? null, after: after!.status! }));
}

/** I6: no process, lock, folder or connection is left. What goes by itself gets a moment to go. */
async function nothingIsLeft(stack: Stack, db: Db): Promise<string[]> {
  let left: string[] = [];
  const gone = async () => {
    left = [...processesLeft(stack), ...filesLeft(stack), ...(await connectionsLeft(db))];
    return left.length === 0;
  };
  await until('nothing to be left', gone).catch(() => undefined);
  return left.map((what) => `I6: left behind: ${what}`);
}

/** Commands of a target carry their workspace in their environment; switchers name the target in their arguments. */
function processesLeft({ state, root }: Stack): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1');
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
        const ours = environment.includes(`SIGNALBOX_WORK=${state}`) || command.includes(`"root":"${root}"`);
        return ours ? [`process ${pid}: ${command.slice(0, 200)}`] : [];
      } catch {
        return [];
      }
    });
}

function filesLeft({ state, root, data, folder }: Stack): string[] {
  const list = (path: string) => (existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : []);
  return [
    ...list(join(state, 'work')),
    ...list(join(root, '.signalbox')).filter((path) => /\.unpack$|\.new$/.test(path)),
    ...list(join(state, 'backups', 'shop')).filter((path) => /\.(new|proof)$/.test(path)),
    ...list(folder).filter((path) => /\.signalbox-/.test(path)),
    ...(existsSync(data) ? [] : [`no data: ${data} is gone`]),
  ];
}

async function connectionsLeft(db: Db): Promise<string[]> {
  const { rows } = await db.raw(
    `SELECT pid, state, left(query, 80) AS query FROM pg_stat_activity
      WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()
        AND now() - state_change > interval '1 second'`,
  );
  return (rows as { pid: number; state: string; query: string }[]).map(
    ({ pid, state, query }) => `connection ${pid}, ${state}: ${query}`,
  );
}

interface Acted {
  fence: number;
  by: string;
  from?: string | null;
  to?: string | null;
}
/** I7 and I8: one attempt for the click; what happened on the target is one story, under rising fencing numbers. */
async function effectsAreSingle(stack: Stack, db: Db, row: DeploymentRow): Promise<string[]> {
  const wrong: string[] = [];
  const attempts = await db('deployments').where({ promotion: row.promotion });
  if (attempts.length !== 1) wrong.push(`I7: ${attempts.length} attempts were made for one click`);
  const journal = readFileSync(join(stack.root, '.signalbox', 'journal.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Acted);
  for (const [n, entry] of journal.entries()) {
    const before = journal[n - 1];
    if (before && entry.fence < before.fence)
      wrong.push(
        `I8: fencing number ${entry.fence} (${entry.by}) acted after ${before.fence} (${before.by})`,
      );
  }
  // Migrations and restores take numbers too, but switch nothing.
  const switches = journal.filter(({ to }) => to !== undefined);
  for (const [n, entry] of switches.entries()) {
    const before = switches[n - 1];
    const drifted = stack.byHand.includes(entry.from ?? '');
    if (before && !drifted && entry.from !== before.to && entry.from !== before.from)
      wrong.push(`I7: ${entry.by} found ${entry.from} where ${before.by} had put ${before.to}`);
  }
  const { fence } = await db('targets').where({ name: 'shop' }).first('fence');
  const highest = Math.max(...journal.map((entry) => entry.fence));
  if (highest > fence) wrong.push(`I8: the target knows number ${highest}, the record only ${fence}`);
  return wrong;
}

/** I7, for the data: restored as it was, or migrated by this deployment alone, and by nobody after its end. */
async function dataIsRight(stack: Stack, db: Db, row: DeploymentRow, { data }: Expected): Promise<string[]> {
  const began = row.migration_began;
  const now = checksums(stack.data, true);
  const changed = Object.keys({ ...data, ...now }).filter((file) => data[file] !== now[file]);
  if (!began || row.status === 'rolled-back')
    return changed.map((file) => `I7: ${file} is not as it was before the deployment`);
  const { revision } = await db('promotions').where({ id: row.promotion }).first('revision');
  const lines = readFileSync(join(stack.data, 'orders.txt'), 'utf8').split('\n');
  const mine = lines.filter((line) => line.endsWith(` migrated to ${revision}`));
  const late = mine.filter((line) => Number.parseInt(line, 10) > row.finished_at!.getTime());
  return [
    ...(mine.length === 0 ? ['I7: the migration left no trace'] : []),
    ...(late.length > 0 ? [`I7: it was migrated after its end: ${late.join(', ')}`] : []),
    ...changed.filter((file) => !file.endsWith('/orders.txt')).map((file) => `I7: ${file} was changed`),
  ];
}

/** I4: what Temporal says of the attempt's workflow agrees with the record. @returns undefined while it does not. */
export async function agrees(stack: Stack, attempt: string): Promise<boolean> {
  const [promotion, number] = attempt.slice(3).split('.').map(Number);
  const row = await stack.withDb(
    async (db) => (await db('deployments').where({ promotion, attempt: number }).first()) as DeploymentRow,
  );
  const { status } = await stack.temporal.client.workflow.getHandle(row.owner).describe();
  const over = machines.deployment[row.status].to.length === 0;
  // Terminated, a workflow never completes; the record has to be right all the same.
  return over ? status.name !== 'RUNNING' : status.name === 'RUNNING';
}

/** SHA-256 of each file below a folder, by its path; with `rooted`, by its absolute path. */
export function checksums(folder: string, rooted = false): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name) => [
        rooted ? join(folder, name) : name,
        createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex'),
      ]),
  );
}
