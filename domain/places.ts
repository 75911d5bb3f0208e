/** Where the page shows what a key names. */
const places = {
  ITEM: (key: string) => `/backlog/${key}`,
  EPIC: (key: string) => `/backlog?epic=${key}`,
  CP: (key: string) => `/promotions/${key}`,
  RFC: (key: string) => `/change-requests/${key}`,
};
export const keyKinds = Object.keys(places) as (keyof typeof places)[];
/** What follows the kind and a dash; of a promotion also its attempt. */
export const keyNumber = '[1-9][0-9]{0,8}(?:\\.[1-9][0-9]{0,4})?';

/** @param key such as ITEM-3, or CP-4.1 for an attempt. @returns its address on the page. */
export const placeOf = (key: string): string => {
  const kind = key.split('-')[0] as keyof typeof places;
  return places[kind](kind === 'CP' ? key : key.split('.')[0]!);
};
