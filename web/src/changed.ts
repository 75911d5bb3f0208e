/** What differs between two states of something, in a few words. */

/** A field's name as one says it: `rollbackPlan` is "rollback plan". */
export const inWords = (field: string): string =>
  field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

/** A value, cut to what fits in a line. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return 'nothing';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
export const difference = (field: string, before: unknown, after: unknown): string =>
  `${inWords(field)} from ${shown(before)} to ${shown(after)}`;

/** The fields of an audit entry that differ. */
export function changed({ before, after }: { before?: unknown; after?: unknown }): string {
  if (!before || !after) return '';
  const [was, is] = [before as Record<string, unknown>, after as Record<string, unknown>];
  return Object.keys(is)
    .filter((field) => field !== 'version' && field !== 'rank')
    .map((field) => difference(field, was[field], is[field]))
    .join(', ');
}
