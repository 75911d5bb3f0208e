/**
 * One person, however their name is written: in capitals, in other forms of its letters, with characters that nobody sees.
 * The database compares by the same rule (`person_key`), and has the last word on who is an author.
 */
export const personKey = (name: string): string =>
  name
    .normalize('NFKC')
    .replace(/\p{Cf}|\p{Variation_Selector}|\u034f/gu, '')
    .replace(/\s+/g, ' ')
    .trim()
    .toLowerCase();

export const samePerson = (one: string, other: string): boolean => personKey(one) === personKey(other);

/** Names that Signalbox signs with itself. */
export const isReserved = (name: string): boolean =>
  ['', 'signalbox', 'unknown'].includes(personKey(name)) || personKey(name).startsWith('operator ');
