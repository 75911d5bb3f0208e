import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { WorkflowNotFoundError } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { z } from 'zod';
import { SignalboxError } from '../domain/errors';
import { tellHistory } from '../domain/history';
import { historyQuery, historyView } from '../domain/schemas';
import type { DeploymentRow } from '../db/deployments';
import { historiesOf } from '../db/retention';
import type { ApiDeps } from './deps';
import { route, TextStream, type Route } from './route';

const decompress = promisify(gunzip);

interface Run {
  workflowId: string;
  runId: string;
  keptAt: Date | null;
  /** JSON as Temporal's own tools read it; null: `none` says why not. */
  json: string | null;
  none: string | null;
}

/**
 * What Temporal recorded of a deployment: from what was kept once it has ended, until then from Temporal itself.
 * @param find finds an attempt by its key, or throws.
 */
export function historyRoutes(deps: ApiDeps, find: (key: string) => Promise<DeploymentRow>): Route[] {
  async function runsOf(row: DeploymentRow): Promise<Run[]> {
    const kept = await historiesOf(deps.db, row.id);
    if (kept.length === 0) return [await liveRun(row)];
    return Promise.all(
      kept.map(async ({ workflow_id, run_id, kept_at, history, why_none }) => ({
        workflowId: workflow_id,
        runId: run_id,
        keptAt: kept_at,
        json: history && (await decompress(history)).toString(),
        none: why_none,
      })),
    );
  }
  async function liveRun({ owner, run_id }: DeploymentRow): Promise<Run> {
    const run = { workflowId: owner, runId: run_id, keptAt: null };
    try {
      const history = await deps.temporal.workflow.getHandle(owner, run_id).fetchHistory();
      return { ...run, json: historyToJSON(history), none: null };
    } catch (thrown) {
      if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
      return { ...run, json: null, none: 'Temporal does not know it' };
    }
  }
  return [
    route({
      method: 'get',
      path: '/deployments/:key/history',
      summary: 'What Temporal recorded of it, in plain words; also after Temporal has dropped it',
      permission: 'read',
      answers: { status: 200, schema: historyView },
      async handle({ params }) {
        const runs = await runsOf(await find(params.key!));
        return {
          body: {
            runs: runs.map(({ json, keptAt, ...run }) => ({
              ...run,
              keptAt: keptAt?.toISOString() ?? null,
              events: json === null ? [] : tellHistory(JSON.parse(json)),
            })),
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/deployments/:key/history.json',
      summary: "The whole history of one run, as Temporal's UI imports it and its replayer runs it",
      permission: 'read',
      query: historyQuery,
      answers: { status: 200, schema: z.string().meta({ id: 'HistoryJson' }), type: 'application/json' },
      async handle({ params, query }) {
        const runs = await runsOf(await find(params.key!));
        const run = query.run === undefined ? runs.at(-1) : runs.find(({ runId }) => runId === query.run);
        if (!run || run.json === null)
          throw new SignalboxError(
            'not-found',
            run ? `There is no history of it: ${run.none}.` : `There is no run ${query.run} of it.`,
          );
        return { body: new TextStream('application/json', one(run.json)) };
      },
    }),
  ];
}

async function* one(text: string) {
  yield await Promise.resolve(text);
}
