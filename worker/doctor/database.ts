import { restoresSaid, verifyAudit } from '../../db/audit';
import { databaseNow } from '../../db/clock';
import { compare, readInstallation } from '../../db/installation';
import { sentences } from '../../domain/sentences';
import { knownMark } from '../stocktaking';
import type { Difference, Examined } from './difference';

/** The record itself: whether it is the one that it was, whether its audit trail is whole, and what time it has. */
export async function examineDatabase(examined: Examined): Promise<Difference[]> {
  return [
    await moved(examined),
    await incarnation(examined),
    await chain(examined),
    await clock(examined),
  ].flat();
}

async function moved({ db, temporal, places }: Examined): Promise<Difference[]> {
  const { why } = await compare(db, await knownMark(temporal, places));
  if (!why) return [];
  return [
    {
      kind: 'database',
      subject: 'database',
      what: sentences(`The database was restored or failed over, and nobody has taken note of it: ${why}`),
      todo: 'Start a worker and the API; whichever is there first goes on from what was restored, and says so in the audit trail.',
    },
  ];
}

/** Attempts of an incarnation before are not asked for signatures, so that one is begun by a worker alone. */
async function incarnation({ db, whyForged }: Examined): Promise<Difference[]> {
  const { incarnation: now } = await readInstallation(db);
  if (!whyForged || now === '') return [];
  const said = (await restoresSaid(db)).map(
    ({ entry }) => (JSON.parse(entry) as { after: { incarnation: string } }).after,
  );
  if (said.some((after) => after.incarnation === now && whyForged(after) === undefined)) return [];
  return [
    {
      kind: 'database',
      subject: 'database',
      what: `The database calls itself incarnation ${now}, and no worker signed that it was restored to that: what is under way since before is believed without signatures.`,
      todo: 'Find out who wrote it ("signalbox audit list --subject database"), and cancel what is under way.',
    },
  ];
}

async function chain({ db, heads, whyForged }: Examined): Promise<Difference[]> {
  const { broken } = await verifyAudit(db, heads, whyForged);
  if (!broken) return [];
  return [
    {
      kind: 'audit',
      subject: `entry ${broken.seq}`,
      what: sentences(`The audit trail is broken at entry ${broken.seq}: ${broken.why}`),
      todo: 'Compare it with the exported heads and with a backup, and find out who owns the tables; what comes before it is whole.',
    },
  ];
}

const toleratedMs = 1_000;

async function clock({ db }: Examined): Promise<Difference[]> {
  // The first answer also opens the connection.
  await databaseNow(db);
  /* eslint-disable no-restricted-properties -- it is this clock that is compared */
  const asked = Date.now();
  const now = await databaseNow(db);
  const answered = Date.now();
  /* eslint-enable no-restricted-properties */
  const ahead = (asked + answered) / 2 - now;
  if (Math.abs(ahead) - (answered - asked) / 2 <= toleratedMs) return [];
  return [
    {
      kind: 'clock',
      subject: 'this host',
      what: `The clock of this host is ${inSeconds(ahead)} that of the database.`,
      todo: 'Set both by NTP.',
    },
  ];
}

/** @param ahead milliseconds. */
export const inSeconds = (ahead: number): string =>
  `${(Math.abs(ahead) / 1000).toFixed(1)} s ${ahead > 0 ? 'ahead of' : 'behind'}`;
