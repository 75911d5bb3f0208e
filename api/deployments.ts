import { WorkflowNotFoundError } from '@temporalio/client';
import { z } from 'zod';
import { notFound, SignalboxError } from '../domain/errors';
import { deploymentKey, parseDeploymentKey } from '../domain/keys';
import { isTerminal } from '../domain/machines';
import { printable } from '../domain/printable';
import { deploymentView, logLine, logQuery, reasonBody, resolveBody, type LogLine } from '../domain/schemas';
import { deploymentById, findDeployment, type DeploymentRow } from '../db/deployments';
import { readLog } from '../db/log';
import { viewDeployment } from '../db/views';
import { cancelDeployment, resolveRollback } from '../workflows/messages';
import type { ApiDeps } from './deps';
import { historyRoutes } from './history';
import { route, TextStream, type Route } from './route';

const textOf = (lines: LogLine[]) =>
  lines.map((l) => `${l.seq} ${l.at} ${l.step} ${l.stream} ${printable(l.text)}\n`).join('');

/** Attempts: read, followed by their log, cancelled, and resolved after a failed rollback. */
export function deploymentRoutes(deps: ApiDeps): Route[] {
  const { db, keyring, runUrl, temporal } = deps;
  const find = async (key: string) => {
    const { promotion, attempt } = parseDeploymentKey(key);
    const row = await findDeployment(db, promotion, attempt);
    if (!row) throw notFound(`deployment ${key}`);
    return row;
  };
  const target = async ({ params }: { params: Record<string, string> }) => {
    const { promotion, attempt } = parseDeploymentKey(params.key!);
    return (await findDeployment(db, promotion, attempt))?.target;
  };
  const handleOf = (row: DeploymentRow) => temporal.workflow.getHandle(row.owner);
  /** Waits for the attempt to leave the state it was in; answers how it stands then. */
  const moved = async (before: DeploymentRow) => {
    const next = async () => {
      const now = await deploymentById(db, before.id);
      return now.status === before.status ? undefined : now;
    };
    const row = (await deps.changes.until(next, deps.verdictMs)) ?? before;
    return { status: 202, body: await viewDeployment(db, row, runUrl) };
  };
  async function* wholeLog(id: number) {
    for (let after = 0; ;) {
      const items = await readLog(db, id, { after, limit: 5_000 });
      if (items.length === 0) return;
      yield textOf(items);
      after = items.at(-1)!.seq;
    }
  }
  const refuse = (row: DeploymentRow, why: string) =>
    new SignalboxError(
      'illegal-transition',
      `${deploymentKey(row.promotion, row.attempt)} is ${row.status}; ${why}`,
    );
  const send = async (row: DeploymentRow, sent: Promise<void>) => {
    await sent.catch((thrown: unknown) => {
      if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
      throw refuse(
        row,
        'its workflow has ended, and reconcile is about to settle it. Look again in a minute.',
      );
    });
  };
  return [
    route({
      method: 'get',
      path: '/deployments/:key',
      summary: 'One attempt with its steps',
      permission: 'read',
      answers: { status: 200, schema: deploymentView },
      handle: async ({ params }) => ({ body: await viewDeployment(db, await find(params.key!), runUrl) }),
    }),
    route({
      method: 'get',
      path: '/deployments/:key/log',
      summary:
        'Log lines after a number, in order, up to `limit` or a MiB; as text when text/plain is asked for. ' +
        'nextCursor is the `after` of the next part, null at the end.',
      permission: 'read',
      query: logQuery,
      answers: {
        status: 200,
        schema: z.object({ items: z.array(logLine), nextCursor: z.string().nullable() }),
      },
      async handle({ params, query, plainText }) {
        const row = await find(params.key!);
        const tail = query.tail === 'true';
        const items = await readLog(db, row.id, { ...query, tail });
        if (plainText) return { body: textOf(items) };
        const last = items.at(-1)?.seq;
        const more = !tail && last !== undefined && last < row.log_seq;
        return { body: { items, nextCursor: more ? String(last) : null } };
      },
    }),
    route({
      method: 'get',
      path: '/deployments/:key/log.txt',
      summary: 'The whole log as it is now, as text: number, time, step, stream and text of each line',
      permission: 'read',
      answers: { status: 200, schema: z.string().meta({ id: 'LogText' }), type: 'text/plain' },
      async handle({ params }) {
        const { id } = await find(params.key!);
        return { body: new TextStream('text/plain', wholeLog(id)) };
      },
    }),
    ...historyRoutes(deps, find),
    route({
      method: 'post',
      path: '/deployments/:key/cancel',
      summary: 'Cancel: a waiting attempt ends, a running one is rolled back',
      permission: 'cancel',
      target,
      body: reasonBody,
      answers: { status: 202, schema: deploymentView },
      async handle({ params, person, request, body }) {
        const row = await find(params.key!);
        if (isTerminal('deployment', row.status)) throw refuse(row, 'it has ended.');
        if (row.status === 'rolling-back' || row.status === 'rollback-failed')
          throw refuse(
            row,
            row.status === 'rolling-back'
              ? 'it is being undone already.'
              : 'its undo has failed. Resolve it: retry undoes again, accept takes what is live into the record.',
          );
        const asked = keyring.sign('cancel', row.owner, { by: person, reason: body.reason, request });
        await send(row, handleOf(row).signal(cancelDeployment, asked));
        return moved(row);
      },
    }),
    route({
      method: 'post',
      path: '/deployments/:key/resolve',
      summary: 'After a failed rollback: retry the undo, or accept the target as it is',
      permission: 'resolve',
      target,
      body: resolveBody,
      answers: { status: 202, schema: deploymentView },
      async handle({ params, person, request, body }) {
        const row = await find(params.key!);
        if (row.status !== 'rollback-failed') throw refuse(row, 'only a failed rollback is resolved.');
        const asked = keyring.sign('resolve', row.owner, { by: person, request, ...body });
        await send(row, handleOf(row).signal(resolveRollback, asked));
        return moved(row);
      },
    }),
  ];
}
