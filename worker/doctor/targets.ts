import { existsSync } from 'node:fs';
import { createDriver } from '../../activities/drivers/driver';
import { heldIn, lastIn } from '../../activities/drivers/numbers';
import { backupsOf } from '../../activities/left-behind';
import { unrecordedBackups } from '../../activities/backups/unrecorded';
import { look } from '../../activities/look';
import { laneHolder, listBackups } from '../../db/backups';
import type { Db } from '../../db/connect';
import { highestFence, leap } from '../../db/fences';
import { currentOf, findDeployment, rowKey, type DeploymentRow } from '../../db/deployments';
import { readInstallation } from '../../db/installation';
import { recordedOn } from '../../db/targets';
import type { TargetConfig } from '../../domain/config';
import { messageOf } from '../../domain/errors';
import { idIn } from '../../domain/incarnation';
import { inWords, isSame, releaseOr, type Observed } from '../../domain/observed';
import { sentences } from '../../domain/sentences';
import { databaseNow } from '../../db/clock';
import { isSettled, type Difference, type Examined } from './difference';

/** Record against targets, on the host where this runs. @returns also what lies on other hosts, in plain words. */
export async function examineTargets(
  examined: Examined,
): Promise<{ differences: Difference[]; elsewhere: string[] }> {
  const differences: Difference[] = [];
  const elsewhere: string[] = [];
  for (const target of examined.targets.values()) {
    differences.push(...(await undecided(examined, target)));
    if (target.runner) {
      differences.push(...(await givenOut(examined.db, target.name, 0)));
      elsewhere.push(`${target.name} has runners: what it runs and its backups lie on their hosts.`);
      continue;
    }
    differences.push(
      ...(await fence(examined, target)),
      ...(await live(examined, target)),
      ...(await backups(examined, target)),
      ...(await unrecorded(examined, target)),
    );
  }
  return { differences, elsewhere };
}

async function fence(examined: Examined, target: TargetConfig): Promise<Difference[]> {
  const { db } = examined;
  const { name, driver } = target;
  const found = (what: string, todo: string): Difference[] => [{ kind: 'fence', subject: name, what, todo }];
  try {
    const held = heldIn(createDriver(driver).room);
    const row = (await db('targets').where({ name }).first('fence')) as { fence: number } | undefined;
    const given = row?.fence ?? 0;
    if (held.fence <= given)
      return [...(await givenOut(db, name, held.fence)), ...(await lost(examined, target))];
    return found(
      `${name} holds fencing number ${held.fence} (${held.by ?? 'by whom it does not say'}), and the record has only given out ${given}.`,
      `The next deployment goes on above it. If another Signalbox acts on ${name}, take the target out of one of them.`,
    );
  } catch (thrown) {
    return found(sentences(messageOf(thrown)), 'Do what it says; until then nothing is switched there.');
  }
}

/** Restores by hand take a number each, and have no row. */
const withoutRow = 1_000;
/** So few are left that somebody has to do something. */
const fewLeft = 1_000_000_000;

/** Whether the record itself says more than it gave out: somebody wrote it. */
async function givenOut(db: Db, name: string, held: number): Promise<Difference[]> {
  const { rows } = await db.raw(
    `SELECT fence AS given, greatest(CASE WHEN lost_fence <= :most THEN lost_fence END, (SELECT max(fence) FROM deployments WHERE target = t.name AND fence <= :most),
                     (SELECT max(fence) FROM adoptions WHERE target = t.name AND fence <= :most), 0) AS known
       FROM targets t WHERE name = :name`,
    { name, most: highestFence - fewLeft },
  );
  const [row] = rows as { given: number; known: number }[];
  const given = row?.given ?? 0;
  const known = Math.max(held, row?.known ?? 0);
  if (given <= known + leap + withoutRow) return [];
  const wrote = `The record says that fencing number ${given} was given out for ${name}, and nothing that acted there has one above ${known}: somebody wrote it past Signalbox.`;
  const found = (what: string, todo: string): Difference[] => [{ kind: 'fence', subject: name, what, todo }];
  const look = `Find out who wrote it ("signalbox audit list --subject ${name}").`;
  return given > highestFence - fewLeft
    ? found(
        `${wrote} There is hardly a number left above it, so that nothing can begin there for long, or at all.`,
        `${look} Then let the owner of the tables run: UPDATE targets SET fence = ${known + leap}, lost_fence = least(lost_fence, ${known}) WHERE name = '${name}'`,
      )
    : found(`${wrote} Nothing stands still by that.`, `${look} Deployments go on above it.`);
}

/** What acted last on a target and is not in the record: nobody looks after what it left there. */
async function lost({ db, places }: Examined, { name, driver }: TargetConfig): Promise<Difference[]> {
  const last = lastIn(createDriver(driver).room);
  const [, key, promotion, attempt] =
    /^(CP-([1-9][0-9]{0,8})\.([1-9][0-9]{0,8})) /.exec(last?.by ?? '') ?? [];
  const { id } = await readInstallation(db);
  // What another Signalbox did, or an earlier version, is not this one's to know.
  if (!last || !key || !last.origin?.startsWith(id.slice(0, 8))) return [];
  const row = await findDeployment(db, Number(promotion), Number(attempt));
  if (row && idIn(id.slice(0, 8), row.incarnation) === last.origin) return [];
  const adopted = db('adoptions').where({ target: name, adopted: true }).where('fence', '>', last.fence);
  if (await adopted.first('id')) return [];
  const backups = await backupsOf({ db, stateDir: places.stateDir }, name, key, last.origin);
  return [
    {
      kind: 'lost',
      subject: key,
      what: `What acted last on ${name} is not in the record, which was restored to before it: ${last.by} at ${last.at} (fence ${last.fence}).`,
      todo: sentences(
        `Look what ${name} runs, and whether its data fits that`,
        backups.length > 0 && `Its data from before is in ${backups.join(', ')}`,
        `Then deploy, or "signalbox adopt ${name} --reason ..."`,
      ),
    },
  ];
}

/** The attempt whose rollback failed: until somebody decides, nothing acts on its target. */
async function failedOn(db: Db, name: string): Promise<DeploymentRow | undefined> {
  const holder = await laneHolder(db, name);
  return holder?.status === 'rollback-failed' ? holder : undefined;
}
const decide = (key: string) =>
  `"signalbox resolve ${key} --retry --reason ..." undoes again, "signalbox resolve ${key} --accept --reason ..." leaves what is live as it is and takes it into the record; nothing else is deployed until then.`;

async function undecided({ db }: Examined, { name }: TargetConfig): Promise<Difference[]> {
  const failed = await failedOn(db, name);
  if (!failed) return [];
  const key = rowKey(failed);
  const what = sentences(
    `The rollback of ${key} has failed and it holds the lane of ${name}. It waits for ${failed.waiting_for ?? 'an SRE'}`,
  );
  return [{ kind: 'undecided', subject: key, what, todo: decide(key) }];
}

async function live(
  { db, targets, sandbox }: Examined,
  { name, driver }: TargetConfig,
): Promise<Difference[]> {
  const failed = await failedOn(db, name);
  // What a deployment is about to switch is compared by itself; one whose rollback failed switches nothing.
  if (!failed && (await laneHolder(db, name))) return [];
  const recorded = failed ? await returnsTo(db, failed) : await recordedOn(db, name);
  if (!existsSync(driver.root))
    return recorded.kind === 'nothing'
      ? []
      : [
          {
            kind: 'live',
            subject: name,
            what: `${driver.root} does not exist here, and the record says that ${name} runs ${inWords(recorded)}.`,
            todo: `If it lies on another host, run this there. Else put the folder back, or ${failed ? decide(rowKey(failed)) : 'deploy again.'}`,
          },
        ];
  try {
    const now = await look({ targets: () => targets, sandbox }, name);
    // Also where the record has it so: nothing is deployed over it, and nothing adopts it.
    if (now.kind === 'unrestorable')
      return [
        {
          kind: 'live',
          subject: name,
          what: `${name} runs ${now.what}; it could not be put back, so that nothing is deployed over it and it cannot be adopted.`,
          todo: sentences(now.remedy, `Then "signalbox adopt ${name} --reason ..." takes it into the record`),
        },
      ];
    if (isSame(now, recorded)) return [];
    if (failed)
      return [
        {
          kind: 'live',
          subject: name,
          what: `${name} runs ${inWords(now)}, and the record says ${inWords(recorded)}, to which the rollback of ${rowKey(failed)} was to return.`,
          todo: decide(rowKey(failed)),
        },
      ];
    return [
      {
        kind: 'live',
        subject: name,
        what: `${name} runs ${inWords(now)}, and the record says ${inWords(recorded)}.`,
        todo: `Take what is live into the record with "signalbox adopt ${name} --reason ...", or deploy over it: what is live then is what a rollback returns to.`,
      },
    ];
  } catch (thrown) {
    return [
      {
        kind: 'not-observed',
        subject: name,
        what: sentences(`Nobody can say what ${name} runs: ${messageOf(thrown)}`),
        todo: `Repair driver.observe of ${name}; until then nothing is switched there.`,
      },
    ];
  }
}

/** What is to be live once it is undone. What was last seen there is none of that. */
async function returnsTo(db: Db, { drifted, observed, target }: DeploymentRow): Promise<Observed> {
  return drifted ?? observed ?? releaseOr((await currentOf(db, target))?.to_release ?? null);
}

const newest = 1_000;
async function backups({ db }: Examined, { name }: TargetConfig): Promise<Difference[]> {
  const rows = await listBackups(db, name, newest);
  return rows
    .filter(({ removed_at, reference }) => removed_at === null && !existsSync(reference))
    .map((row) => ({
      kind: 'backup-gone' as const,
      subject: rowKey(row),
      what: `The backup of ${rowKey(row)} is gone: ${row.reference} does not exist.`,
      todo: `Put the file back from a copy, or know that the data of ${name} cannot go back to before ${rowKey(row)}. If it lies on another host, run this there.`,
    }));
}

async function unrecorded(examined: Examined, { name }: TargetConfig): Promise<Difference[]> {
  const { db, places } = examined;
  const found = await unrecordedBackups(db, places.stateDir, name);
  const now = await databaseNow(db);
  return found
    .filter(({ written }) => isSettled(examined, written, now))
    .map(({ key, reference, bytes, written }) => ({
      kind: 'backup-unrecorded' as const,
      subject: key,
      what: `The record does not have the backup ${reference} (${bytes} bytes, ${written.toISOString()}), which ${key} made before the database was restored, or for another Signalbox: it is the data of ${name} from before that attempt.`,
      todo: `Nothing removes it. If ${name} was left in the middle of that migration, put it back by hand (operating.md, "What a restored database lacks"); else remove the file.`,
    }));
}
