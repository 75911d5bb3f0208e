import { badInput } from './errors';
import { idIn } from './incarnation';

/** Human keys: `CP-7` a promotion, `CP-7.1` its first attempt, `RFC-7` its change request; `ITEM-12`, `EPIC-3`. */
export const promotionKey = (id: number): string => `CP-${id}`;
export const itemKey = (id: number): string => `ITEM-${id}`;
export const epicKey = (id: number): string => `EPIC-${id}`;
export const changeRequestKey = (id: number): string => `RFC-${id}`;
export const deploymentKey = (promotion: number, attempt: number): string => `CP-${promotion}.${attempt}`;

/** The workflow that recovers an attempt, in an incarnation of the database. */
export const recoverWorkflowId = (promotion: number, attempt: number, incarnation: string) =>
  idIn(`recover/${deploymentKey(promotion, attempt).replace('.', '/')}`, incarnation);

// Nine digits stay inside PostgreSQL's integer, so a long number is a 400 and never a database error.
const number = '([1-9][0-9]{0,8})';
const parse = (pattern: string, kind: string, example: string) => {
  // As people type it.
  const form = new RegExp(`^${pattern}$`, 'i');
  return (key: string): number[] => {
    const found = form.exec(key);
    if (!found)
      throw badInput(`"${key.slice(0, 40)}" is not the key of a ${kind}; one looks like ${example}.`);
    return found.slice(1).map(Number);
  };
};
const promotionParts = parse(`CP-${number}`, 'promotion', 'CP-7');
const changeRequestParts = parse(`RFC-${number}`, 'change request', 'RFC-7');
const itemParts = parse(`ITEM-${number}`, 'backlog item', 'ITEM-12');
const epicParts = parse(`EPIC-${number}`, 'epic', 'EPIC-3');
const deploymentParts = parse(`CP-${number}\\.${number}`, 'deployment', 'CP-7.1');

/** @returns the promotion's number. @throws invalid-input when it is no such key. */
export const parsePromotionKey = (key: string): number => promotionParts(key)[0]!;
/** @returns the change request's number. @throws invalid-input when it is no such key. */
export const parseChangeRequestKey = (key: string): number => changeRequestParts(key)[0]!;
/** @returns the item's number. @throws invalid-input when it is no such key. */
export const parseItemKey = (key: string): number => itemParts(key)[0]!;
/** @returns the epic's number. @throws invalid-input when it is no such key. */
export const parseEpicKey = (key: string): number => epicParts(key)[0]!;
/** @returns promotion and attempt numbers. @throws invalid-input when it is no such key. */
export function parseDeploymentKey(key: string): { promotion: number; attempt: number } {
  const [promotion, attempt] = deploymentParts(key);
  return { promotion: promotion!, attempt: attempt! };
}
/** A key as it is written in the record, however it was typed; anything else as it is. */
export const asRecorded = (text: string): string =>
  /^(CP|RFC|ITEM|EPIC)-[0-9]/i.test(text) ? text.toUpperCase() : text;
/** A number as it stands in an address. @param kind what it numbers. @throws invalid-input when it is none. */
export function parseNumber(text: string, kind: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text))
    throw badInput(`"${text.slice(0, 40)}" is no number of a ${kind}; one looks like 3.`);
  return Number(text);
}
