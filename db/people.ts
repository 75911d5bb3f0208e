import { grantsFor, whyMayNot, type Grant, type Permission } from '../domain/permissions';
import { badInput } from '../domain/errors';
import { isReserved, samePerson } from '../domain/person';
import type { Db, Tx } from './connect';
import { voidLapsedApprovals, type Voided } from './approvals';
import { movedBy, type Move } from './transition';

/** Who asks: a person, what they hold by the credential they show, and the credential. */
export interface Person {
  person: string;
  grants: Grant[];
  /** `token 3` or `session 7`. */
  credential: string;
  /** Who minted the token, when that is somebody else. */
  mintedBy?: string;
  /** The session's number and kind; undefined for a token. */
  session?: { id: number; kind: 'local' | 'oidc' };
}
export interface PersonRow {
  name: string;
  grants: Grant[];
  /** Groups of approvers, as the OpenID provider said at the last sign-in. */
  groups: string[];
  subject: string | null;
  disabled_at: Date | null;
}

/** What a person holds at this moment, by whichever way. */
export async function grantsOf(tx: Tx, person: string): Promise<Grant[]> {
  const rows = (await tx('standing_grants').where({ person }).select('grant_')) as { grant_: Grant }[];
  return rows.map(({ grant_ }) => grant_);
}

/** Why this person may not do it now; asked again where the effect happens. */
export async function whyMayNotNow(tx: Tx, person: string, permission: Permission, target: string) {
  const holds = await tx('standing_grants')
    .where({ person })
    .whereIn('grant_', grantsFor(permission, target))
    .first('person');
  if (holds) return undefined;
  return whyMayNot(person, await grantsOf(tx, person), permission, target);
}

/** A person by name, however it is written; the one that is written so before others. */
export const findPersonCalled = async (tx: Tx, name: string) =>
  (await tx('people')
    .whereRaw('person_key(name) = person_key(?)', [name])
    .orderByRaw('name = ? DESC, created_at', [name])
    .first()) as PersonRow | undefined;

/**
 * Makes sure that a person is known; what they hold stays as it is.
 * @returns how they are called here: one person has one name, however it is written. @throws invalid-input for a name that
 * Signalbox signs with itself.
 */
export async function addPerson(tx: Tx, name: string, move: Move): Promise<string> {
  if (isReserved(name))
    throw badInput(
      `Nobody can be called "${name}": Signalbox itself signs with that name in the audit trail. Choose another one.`,
    );
  const known = await findPersonCalled(tx, name);
  if (known) return known.name;
  await tx('people')
    .insert({ name, ...movedBy(move) })
    .onConflict('name')
    .ignore();
  return name;
}

/** Writes what a person holds. Approvals that no longer count are voided with it. */
export async function setGrants(
  tx: Tx,
  name: string,
  grants: Grant[],
  move: Move,
  groups: string[] = [],
): Promise<Voided[]> {
  const called = await addPerson(tx, name, move);
  await tx('people')
    .where({ name: called })
    .update({ grants, groups, ...movedBy(move), updated_at: tx.fn.now() });
  return voidLapsedApprovals(tx, move);
}

/** Disables or enables a person: all their tokens and sessions with them. @returns false when there is nobody. */
export async function setDisabled(
  tx: Tx,
  name: string,
  disabled: boolean,
  move: Move,
): Promise<Voided[] | false> {
  const changed = await tx('people')
    .where({ name })
    .update({
      disabled_at: disabled ? tx.raw('coalesce(disabled_at, now())') : null,
      ...movedBy(move),
      updated_at: tx.fn.now(),
    });
  return changed === 1 ? voidLapsedApprovals(tx, move) : false;
}

/**
 * Says by which account of the sign-in service a person comes in. Their sessions so far end, and what they decide by it speaks
 * for whoever linked it as well, as a token does for who minted it.
 * @returns whose account it is already; false when there is no such person.
 */
export async function linkPerson(
  tx: Tx,
  name: string,
  subject: string,
  move: Move,
): Promise<string | undefined | false> {
  const taken = (await tx('people').where({ subject }).whereNot({ name }).first('name')) as
    Pick<PersonRow, 'name'> | undefined;
  if (taken) return taken.name;
  // Linked once more it would speak for somebody else.
  if (await tx('people').where({ name, subject }).first('name')) return undefined;
  const changed = await tx('people')
    .where({ name })
    .update({
      subject,
      linked_by: samePerson(move.by, name) ? null : move.by,
      ...movedBy(move),
      updated_at: tx.fn.now(),
    });
  if (changed !== 1) return false;
  await tx('sessions')
    .where({ person: name, kind: 'oidc' })
    .whereNull('ended_at')
    .update({ ended_at: tx.fn.now(), ...movedBy(move) });
  return undefined;
}

/** A person by name. */
export const findPerson = async (tx: Tx, name: string) =>
  (await tx('people').where({ name }).first()) as PersonRow | undefined;

export const listPeople = async (db: Db): Promise<PersonRow[]> =>
  (await db('people').orderBy('name')) as PersonRow[];
