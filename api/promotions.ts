import { badInput, notFound } from '../domain/errors';
import { parsePromotionKey } from '../domain/keys';
import { progressText, type MirrorProgress } from '../domain/mirror';
import { insteadOf } from '../domain/nearest';
import {
  changesView,
  type CopyingView,
  copyingView,
  deployBody,
  deploymentView,
  promotionsQuery,
  promotionView,
  reasonBody,
  shipBody,
} from '../domain/schemas';
import { carriedItems } from '../db/backlog/delivery';
import { findChangeRequest } from '../db/change-requests';
import { chosenRisk } from '../db/change-content';
import { findPromotion, ship, type PromotionRow } from '../db/promotions';
import { changesWith } from '../db/search';
import { liveOn } from '../db/targets';
import { viewPromotion, viewPromotions } from '../db/views';
import { submitChangeRequest, tellMoved, withdrawPromotion } from './change-requests';
import type { ApiDeps } from './deps';
import { commitOf, draftFacts, itemsMentioned } from './draft';
import { page, pageView } from './page';
import { route, type Answer, type Route } from './route';
import { startDeployment } from './start-deployment';

/** Promotions: shipped, deployed, retried, rolled back, withdrawn. */
export function promotionRoutes(deps: ApiDeps): Route[] {
  const { db, runUrl } = deps;
  const find = async (key: string) => {
    const row = await findPromotion(db, parsePromotionKey(key));
    if (!row) throw notFound(`promotion ${key}`);
    return row;
  };
  const target = async ({ params }: { params: Record<string, string> }) =>
    (await findPromotion(db, parsePromotionKey(params.key!)))?.target;
  return [
    route({
      method: 'get',
      path: '/promotions',
      summary: 'Promotions, newest first',
      permission: 'read',
      query: promotionsQuery,
      answers: { status: 200, schema: pageView(promotionView) },
      handle: async ({ query }) => ({
        body: await page(
          db,
          db('promotions').modify((q) => {
            if (query.target) void q.where({ target: query.target });
            if (query.status) void q.whereIn('status', query.status);
            if (query.q) void q.whereIn('id', changesWith(db, query.q));
          }),
          'id',
          query,
          (rows: PromotionRow[]) => viewPromotions(db, rows, runUrl),
        ),
      }),
    }),
    route({
      method: 'post',
      path: '/promotions',
      summary: 'Ship: record a promotion of a revision and its change request',
      permission: 'ship',
      target: ({ body }) => Promise.resolve(body.target),
      body: shipBody,
      answers: { status: 201, schema: promotionView, accepted: copyingView },
      async handle(call) {
        const { target: name, revision, title, change, submit, backlogItems } = call.body;
        const config = deps.targets().get(name);
        if (!config)
          throw badInput(
            `The targets file has no target "${name}". ${insteadOf(name, [...deps.targets().keys()])}`,
          );
        // The repository is read before anything is written: a transaction waits for nobody.
        const found =
          call.made === undefined ? await commitOf(deps, config, revision, call.since) : undefined;
        if (found && 'copying' in found) return copying(name, revision, found.copying);
        const facts = found && (await draftFacts(deps, config, found.commit));
        const id = Number(
          call.made ??
            (await call.once(async (tx) => {
              const shipment = {
                target: name,
                title,
                revision,
                commit: found!.commit,
                shippedBy: call.person,
                request: call.request,
                change: {
                  ...change,
                  risk: chosenRisk(facts!.computedRisk, change.risk, change.riskReason),
                  description: change.description ?? '',
                  backlogItems: await carriedItems(tx, backlogItems, itemsMentioned(facts!)),
                  facts,
                },
              };
              return String(await ship(tx, shipment));
            })),
        );
        const request = submit && (await submitChangeRequest(deps, (await findChangeRequest(db, id))!, call));
        const shipped = await viewPromotion(db, (await findPromotion(db, id))!, runUrl);
        const accepted = request ? request.body.accepted : undefined;
        return { body: { ...shipped, ...(accepted ? { accepted } : {}) } };
      },
    }),
    route({
      method: 'get',
      path: '/promotions/:key',
      summary: 'One promotion with its attempts, steps and backup',
      permission: 'read',
      answers: { status: 200, schema: promotionView },
      handle: async ({ params }) => ({ body: await viewPromotion(db, await find(params.key!), runUrl) }),
    }),
    route({
      method: 'get',
      path: '/promotions/:key/changes',
      summary: 'What deploying it would change of what its target runs now',
      permission: 'read',
      answers: { status: 200, schema: changesView },
      async handle({ params }) {
        const row = await find(params.key!);
        const config = deps.targets().get(row.target);
        if (!config) throw notFound(`target ${row.target}`);
        const live = await liveOn(db, row.target);
        const compare = (from: string | null, to: string) =>
          deps.compare(row.target, config.repository, from, to);
        const { commits, files, lines } = await compare(live?.commit ?? null, row.commit);
        const back = live && (await compare(row.commit, live.commit));
        return {
          body: {
            since: live?.revision ?? null,
            brings: commits,
            takesAway: back?.commits ?? [],
            files: files.length,
            lines,
          },
        };
      },
    }),
    route({
      method: 'post',
      path: '/promotions/:key/deploy',
      summary: 'Deploy Now',
      permission: 'deploy',
      target,
      body: deployBody,
      answers: { status: 202, schema: deploymentView },
      handle: async (call) =>
        startDeployment(deps, call, await find(call.params.key!), 'deploy', call.body.when === 'next-window'),
    }),
    route({
      method: 'post',
      path: '/promotions/:key/retry',
      summary: 'Deploy a promotion that rolled back once more, as a new attempt',
      permission: 'deploy',
      target,
      body: deployBody,
      answers: { status: 202, schema: deploymentView },
      handle: async (call) =>
        startDeployment(deps, call, await find(call.params.key!), 'retry', call.body.when === 'next-window'),
    }),
    route({
      method: 'post',
      path: '/promotions/:key/rollback',
      summary: 'Return a deployed target to the release before, as a deployment without a build',
      permission: 'rollback',
      target,
      body: reasonBody,
      answers: { status: 202, schema: deploymentView },
      handle: async (call) => startDeployment(deps, call, await find(call.params.key!), 'rollback'),
    }),
    route({
      method: 'post',
      path: '/promotions/:key/withdraw',
      summary: 'Withdraw a promotion; cancels its change request',
      permission: 'withdraw',
      target,
      body: reasonBody,
      answers: { status: 200, schema: promotionView },
      async handle({ params, person, request, body, write }) {
        const { id } = await find(params.key!);
        const answer = await write(async (tx) => {
          await withdrawPromotion(tx, id, { by: person, why: body.reason, request });
          return { body: await viewPromotion(tx, (await findPromotion(tx, id))!, runUrl) };
        });
        await tellMoved(deps, (await findChangeRequest(db, id))!);
        return answer;
      },
    }),
  ];
}

const retryAfterSeconds = 2;

/** Accepted: the ship goes on when the repository is there; what has arrived so far is not fetched again. */
const copying = (target: string, revision: string, progress: MirrorProgress): Answer => ({
  status: 202,
  retryAfterSeconds,
  body: {
    target,
    revision,
    detail: `The repository of ${target} is being copied: ${progressText(progress)}. Nothing is shipped yet; send the same request again, with the same Idempotency-Key.`,
    progress,
    retryAfterSeconds,
  } satisfies CopyingView,
});
