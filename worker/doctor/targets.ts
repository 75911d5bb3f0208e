import { existsSync } from 'node:fs';
import { createDriver } from '../../activities/drivers/driver';
import { heldIn } from '../../activities/drivers/numbers';
import { look } from '../../activities/look';
import { laneHolder, listBackups } from '../../db/backups';
import { rowKey } from '../../db/deployments';
import { recordedOn } from '../../db/targets';
import type { TargetConfig } from '../../domain/config';
import { messageOf } from '../../domain/errors';
import { inWords, isSame } from '../../domain/observed';
import { sentences } from '../../domain/sentences';
import type { Difference, Examined } from './difference';

/** Record against targets, on the host where this runs. @returns also what lies on other hosts, in plain words. */
export async function examineTargets(
  examined: Examined,
): Promise<{ differences: Difference[]; elsewhere: string[] }> {
  const differences: Difference[] = [];
  const elsewhere: string[] = [];
  for (const target of examined.targets.values()) {
    if (target.runner) {
      elsewhere.push(`${target.name} has runners: what it runs and its backups lie on their hosts.`);
      continue;
    }
    differences.push(
      ...(await fence(examined, target)),
      ...(await live(examined, target)),
      ...(await backups(examined, target)),
    );
  }
  return { differences, elsewhere };
}

async function fence({ db }: Examined, { name, driver }: TargetConfig): Promise<Difference[]> {
  const found = (what: string, todo: string): Difference[] => [{ kind: 'fence', subject: name, what, todo }];
  try {
    const held = heldIn(createDriver(driver).room);
    const row = (await db('targets').where({ name }).first('fence')) as { fence: number } | undefined;
    const given = row?.fence ?? 0;
    if (held.fence <= given) return [];
    return found(
      `${name} holds fencing number ${held.fence} (${held.by ?? 'by whom it does not say'}), and the record has only given out ${given}.`,
      `The next deployment goes on above it. If another Signalbox acts on ${name}, take the target out of one of them.`,
    );
  } catch (thrown) {
    return found(sentences(messageOf(thrown)), 'Do what it says; until then nothing is switched there.');
  }
}

async function live({ db, targets }: Examined, { name, driver }: TargetConfig): Promise<Difference[]> {
  // What a deployment is about to switch is compared by itself.
  if (!existsSync(driver.root) || (await laneHolder(db, name))) return [];
  const recorded = await recordedOn(db, name);
  try {
    const now = await look({ targets: () => targets }, name);
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
