import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionLike } from '@temporalio/client';
import { temporal as proto } from '@temporalio/proto';
import type { Temporal } from './connection';
import { attributes } from './names';

/**
 * How long Temporal keeps the history of a workflow that has ended, unless told otherwise. Signalbox has no need of it:
 * it exports the history of each deployment when that ends.
 */
const defaultRetentionDays = 7;
const daySeconds = 86_400;
const keyword = proto.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;
/** gRPC status codes. */
const invalidArgument = 3;
const notFound = 5;
const alreadyExists = 6;
const denied = [7, 12, 16];

/**
 * Makes sure the namespace and the search attributes exist. Safe to repeat and to run side by side.
 * @param retentionDays set on a namespace that is there already, too; left out: a new one gets seven, another keeps its own.
 * @returns what it did, in words; empty when all was there.
 * @throws naming what to make by hand, where the server does not let clients make it (Temporal Cloud).
 */
export async function setUpTemporal(temporal: Temporal, retentionDays?: number): Promise<string[]> {
  return [...(await setUpNamespace(temporal, retentionDays)), ...(await setUpAttributes(temporal))];
}

async function setUpNamespace(
  { connection, namespace }: Temporal,
  retentionDays: number | undefined,
): Promise<string[]> {
  const { workflowService } = connection;
  const period = (days: number) => ({ seconds: (days * daySeconds) as never });
  let known;
  try {
    known = await workflowService.describeNamespace({ namespace });
  } catch (thrown) {
    if (codeOf(thrown) !== notFound) throw thrown;
    const days = retentionDays ?? defaultRetentionDays;
    await workflowService
      .registerNamespace({ namespace, workflowExecutionRetentionPeriod: period(days) })
      .catch(
        unless(alreadyExists, `Make the namespace ${namespace}: this server does not let clients do that.`),
      );
    return [`namespace ${namespace}: made, ended workflows are kept for ${days} days`];
  }
  if (retentionDays === undefined) return [];
  const before = Number(known.config?.workflowExecutionRetentionTtl?.seconds ?? 0) / daySeconds;
  if (before === retentionDays) return [];
  await workflowService
    .updateNamespace({ namespace, config: { workflowExecutionRetentionTtl: period(retentionDays) } })
    .catch(
      unless(
        undefined,
        `Set the retention of ${namespace} to ${retentionDays} days: this server does not let clients do that.`,
      ),
    );
  return [`namespace ${namespace}: ended workflows are kept for ${retentionDays} days, before ${before}`];
}

const wanted = Object.values(attributes).map(({ name }) => name);

type Namespaced = { connection: ConnectionLike; namespace: string };
interface Lacking {
  missing: string[];
  /** With those nothing can be started, and nobody but an operator can change them. */
  ofAnotherType: string[];
}

async function lacking({ connection, namespace }: Namespaced): Promise<Lacking> {
  // A namespace that was just made is known to every part of the server a moment later.
  const { customAttributes } = await connection.operatorService
    .listSearchAttributes({ namespace })
    .catch((thrown: unknown) => {
      if (codeOf(thrown) === notFound) return { customAttributes: {} };
      throw thrown;
    });
  const types = new Map(Object.entries(customAttributes ?? {}));
  return {
    missing: wanted.filter((name) => !types.has(name)),
    ofAnotherType: wanted.filter((name) => types.has(name) && types.get(name) !== keyword),
  };
}

/** Which search attributes are not as they have to be; none where the server does not let clients look. */
export const attributesLacking = (temporal: Namespaced): Promise<Lacking> =>
  lacking(temporal).catch((thrown: unknown) => {
    if (denied.includes(codeOf(thrown) ?? -1)) return { missing: [], ofAnotherType: [] };
    throw thrown;
  });

async function setUpAttributes({ connection, namespace }: Temporal): Promise<string[]> {
  const { operatorService } = connection;
  const made = new Set<string>();
  for (let tries = 0; ; tries++) {
    const { missing: names } = await lacking({ connection, namespace });
    if (names.length === 0) {
      if (made.size > 0) await untilUsable(connection, namespace, wanted);
      return [...made].map((name) => `search attribute ${name}: made`);
    }
    if (tries === 100) throw new Error(`The search attributes ${names.join(', ')} could not be registered.`);
    names.forEach((name) => made.add(name));
    await operatorService
      .addSearchAttributes({
        namespace,
        searchAttributes: Object.fromEntries(names.map((n) => [n, keyword])),
      })
      .catch(
        unless(
          [notFound, alreadyExists],
          `Make these search attributes of type Keyword in ${namespace}: ${names.join(', ')}. This server does not let clients do that; on Temporal Cloud: tcld namespace search-attributes add${names.map((name) => ` --sa "${name}=Keyword"`).join('')}.`,
        ),
      );
    await sleep(100);
  }
}

/** A production server takes attributes in workflows and queries only some seconds after it has listed them. */
async function untilUsable(
  { workflowService }: Temporal['connection'],
  namespace: string,
  names: string[],
): Promise<void> {
  const query = names.map((name) => `${name} = 'none'`).join(' OR ');
  await onceKnown(
    () => workflowService.countWorkflowExecutions({ namespace, query }),
    (thrown) => [invalidArgument, notFound].includes(codeOf(thrown) ?? -1),
  );
}

/** What one part of a server has taken another one knows some seconds later: it is asked again, for a minute. */
export async function onceKnown(
  ask: () => Promise<unknown>,
  unknownYet: (thrown: unknown) => boolean,
): Promise<void> {
  for (let tries = 0; ; tries++)
    try {
      return void (await ask());
    } catch (thrown) {
      if (!unknownYet(thrown) || tries === 600) throw thrown;
      await sleep(100);
    }
}

const codeOf = (thrown: unknown) => (thrown as { code?: number }).code;
/** @param otherwise what to do when the server refuses to have it done by a client. */
const unless = (codes: number | number[] | undefined, otherwise: string) => (thrown: unknown) => {
  const code = codeOf(thrown) ?? -1;
  if ([codes ?? []].flat().includes(code)) return;
  if (denied.includes(code)) throw new Error(otherwise, { cause: thrown });
  throw thrown;
};
