import { z } from 'zod';
import { notFound, SignalboxError } from '../domain/errors';
import { parseDeploymentKey } from '../domain/keys';
import { uncoloured } from '../domain/ansi';
import {
  deploymentsQuery,
  deploymentView,
  logLine,
  logQuery,
  reasonBody,
  resolveBody,
  type LogLine,
} from '../domain/schemas';
import { deploymentById, findDeployment, type DeploymentRow } from '../db/deployments';
import { readLog } from '../db/log';
import { viewDeployment, viewDeployments } from '../db/views';
import { say, wordById, type WordRow } from '../db/words';
import { cancelDeployment, resolveRollback } from '../workflows/messages';
import type { ApiDeps } from './deps';
import { historyRoutes } from './history';
import { page, pageView } from './page';
import { route, TextStream, type Answer, type Call, type Route } from './route';

const textOf = (lines: LogLine[]) =>
  lines.map((l) => `${l.seq} ${l.at} ${l.step} ${l.stream} ${uncoloured(l.text)}\n`).join('');

/** Attempts: read, followed by their log, cancelled, and resolved after a failed rollback. */
export function deploymentRoutes(deps: ApiDeps): Route[] {
  const { db, keyring, log, runUrl, temporal } = deps;
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
  /**
   * Records what a person says to an attempt, wakes its workflow and waits for what becomes of it. Once recorded it is
   * not lost: should Temporal not answer now, or the workflow have changed, it is heard later, and the answer says so.
   */
  async function speak(
    call: Call<{ reason?: string; action?: 'retry' | 'accept' }, unknown>,
    kind: WordRow['kind'],
  ): Promise<Answer> {
    const { id, target: name } = await find(call.params.key!);
    const alarm = deps.targets().get(name)?.undoAlarmSeconds;
    const { reason = null, action = null } = call.body;
    const said = { kind, action, reason, said_by: call.person, request: call.request };
    const word = Number(await call.once(async (tx) => String(await say(tx, id, said, alarm))));
    const settled = async () => {
      const now = (await wordById(db, word))!;
      return now.status === 'waiting' ? undefined : now;
    };
    if (!(await settled()))
      void wake(word).catch((err: unknown) =>
        log.warn({ word, err }, `a ${kind} is recorded but was not heard yet`),
      );
    const now = await deps.changes.until(settled, deps.verdictMs);
    const body = await viewDeployment(db, await deploymentById(db, id), runUrl);
    if (now?.status === 'refused')
      throw new SignalboxError('word-refused', now.outcome!, { deployment: body });
    if (now?.status === 'expired') throw new SignalboxError('illegal-transition', now.outcome!);
    return { status: 202, body };
  }
  /** Signals the workflow that has the attempt, as every version of it understands. `reconcile` does it again. */
  async function wake(id: number): Promise<void> {
    const { kind, deployment, said_by: by, reason, action, request } = (await wordById(db, id))!;
    const { owner } = await deploymentById(db, deployment);
    const handle = temporal.workflow.getHandle(owner);
    const common = { by, request, ...(reason === null ? {} : { reason }) };
    await (kind === 'cancel'
      ? handle.signal(cancelDeployment, keyring.sign('cancel', owner, common))
      : handle.signal(
          resolveRollback,
          keyring.sign('resolve', owner, { ...common, action: action!, reason: reason ?? '' }),
        ));
  }
  async function* wholeLog(id: number) {
    for (let after = 0; ;) {
      const items = await readLog(db, id, { after, limit: 5_000 });
      if (items.length === 0) return;
      yield textOf(items);
      after = items.at(-1)!.seq;
    }
  }
  return [
    route({
      method: 'get',
      path: '/deployments',
      summary: 'Attempts, newest first',
      permission: 'read',
      query: deploymentsQuery,
      answers: { status: 200, schema: pageView(deploymentView) },
      handle: async ({ query }) => ({
        body: await page(
          db,
          db('deployments').modify((q) => {
            if (query.target) void q.where({ target: query.target });
            if (query.status) void q.whereIn('status', query.status);
          }),
          'id',
          query,
          (rows: DeploymentRow[]) => viewDeployments(db, rows, runUrl),
        ),
      }),
    }),
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
      handle: (call) => speak(call, 'cancel'),
    }),
    route({
      method: 'post',
      path: '/deployments/:key/resolve',
      summary: 'After a failed rollback: retry the undo, or accept the target as it is',
      permission: 'resolve',
      target,
      body: resolveBody,
      answers: { status: 202, schema: deploymentView },
      handle: (call) => speak(call, 'resolve'),
    }),
  ];
}
