/**
 * Incarnations of Signalbox's database. The first has no name; each later one is named by its number and something that
 * no other has, so that two databases restored from one dump never share a name. Ids of workflows carry it.
 */
export const firstIncarnation = '';

export const incarnationNumber = (incarnation: string): number =>
  incarnation === firstIncarnation ? 1 : Number(incarnation.split('-')[0]);

/** @param unique hex that no other incarnation has. @param known incarnations that there were. */
export const nextIncarnation = (unique: string, ...known: string[]): string =>
  `${Math.max(...known.map(incarnationNumber)) + 1}-${unique}`;

/** An id in an incarnation: `deploy/CP-7/1` in the first, `deploy/CP-7/1~2-9f3ab1` in a later one. */
export const idIn = (id: string, incarnation: string): string =>
  incarnation === firstIncarnation ? id : `${id}~${incarnation}`;

/**
 * An attempt by a name that no other ever has: its key comes again after a restore, and so does that of another Signalbox
 * on the same host. `CP-7.1@9f3ab1c0~2-9f3ab1`
 * @param origin which Signalbox it belongs to, in which incarnation of its database; versions before did not say it.
 */
export const nameOfAttempt = (key: string, origin: string | undefined): string =>
  origin ? `${key}@${origin}` : key;

/** The incarnation that a workflow's id carries. */
export const incarnationOf = (workflowId: string): string =>
  /~([1-9][0-9]*-[0-9a-f]+)$/.exec(workflowId)?.[1] ?? firstIncarnation;

/** Where the rows of the database are, and since when their server runs; what the server does not tell is missing. */
export type Place = Partial<Record<keyof typeof inWords | 'started', string>> & {
  /** How far the audit trail had come when somebody looked; 0: nothing was sealed. */
  head?: number;
};
const inWords = {
  server: 'the database is on another server',
  database: 'the database was made again',
  table: 'its tables were made again, as a restored dump does',
  timeline: 'its server is on another timeline: a replica took over, or it was restored to a point in time',
};

/** Why rows that were at one place are not the same at another, in plain words; undefined when it is the same place. */
export function whyMoved(before: Place, now: Place): string | undefined {
  const known = Object.keys(inWords) as (keyof typeof inWords)[];
  const moved = known.find((part) => before[part] && now[part] && before[part] !== now[part]);
  return moved && inWords[moved];
}
