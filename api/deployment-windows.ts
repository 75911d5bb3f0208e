import type { z } from 'zod';
import { ownChange } from '../domain/admission';
import { badInput, notFound, SignalboxError } from '../domain/errors';
import { parseNumber, parsePromotionKey, promotionKey } from '../domain/keys';
import { insteadOf } from '../domain/nearest';
import { may, whyMayNot } from '../domain/permissions';
import { samePerson } from '../domain/person';
import {
  emptyBody,
  listQuery,
  overrideBody,
  overrideView,
  previewQuery,
  previewView,
  reasonBody,
  windowBody,
  windowEdit,
  windowStatusQuery,
  windowStatusView,
  windowView,
} from '../domain/schemas';
import { checkWindow, type DeploymentWindow } from '../domain/windows/window';
import { ownPart } from '../db/approvals';
import { databaseNow } from '../db/clock';
import { standingOf } from '../db/standing';
import { knownDuration } from '../db/conflicts';
import { anyStaleSleeper } from '../db/deployments';
import { findPromotion } from '../db/promotions';
import type { Move } from '../db/transition';
import { viewOverrides, viewWindow, viewWindowStatus } from '../db/views';
import {
  addWindow,
  askOverride,
  changeWindow,
  findOverride,
  findWindow,
  liveWindows,
  removeWindow,
  revokeOverride,
  secondOverride,
  windowOf,
  windowRevision,
  type WindowRow,
} from '../db/windows';
import { controlQueue } from '../temporal-config/names';
import { wakeWorkflowId } from '../workflows/messages';
import type { ApiDeps } from './deps';
import { page, pageView } from './page';
import { previewOf } from './preview';
import { route, type Call, type Route } from './route';

/** Deployment windows and freezes: kept, asked about, previewed, overridden for one change by two people. */
type NewWindow = Omit<DeploymentWindow, 'id'>;

/** For `may`: what is for every target needs a grant that is not limited to one. */
const everywhere = '*';
const targetOf = (scope: DeploymentWindow['scope'] | undefined) => scope?.target ?? everywhere;

export function windowRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  const idOf = (text: string): number => parseNumber(text, 'window');
  const find = async (id: string): Promise<WindowRow> => {
    const row = await findWindow(db, idOf(id));
    if (!row) throw notFound(`deployment window ${id}`);
    return row;
  };
  const scopeOf = async ({ params }: { params: Record<string, string> }) => {
    const row = await findWindow(db, idOf(params.id!));
    return row && targetOf(windowOf(row).scope);
  };
  const overrideOf = async (id: string) => {
    const row = await findOverride(db, idOf(id));
    if (!row) throw notFound(`override ${id}`);
    return row;
  };
  /** @throws own-change for who made the change, or acts by a token of who did. */
  const notTheirs = async (promotion: number, person: string, mintedBy: string | undefined) => {
    const refusal = ownChange(
      promotionKey(promotion),
      person,
      await ownPart(db, promotion, person, mintedBy),
    );
    if (refusal) throw new SignalboxError('own-change', refusal.message);
  };
  const targetOfOverride = async ({ params }: { params: Record<string, string> }) => {
    const row = await findOverride(db, idOf(params.id!));
    return row && (await findPromotion(db, row.promotion))!.target;
  };
  const check = (window: NewWindow): void => {
    checkWindow(window);
    const { target, environment } = window.scope;
    const targets = [...deps.targets().values()];
    if (target !== undefined && !deps.targets().has(target))
      throw badInput(
        `scope: the targets file has no target "${target}". ${insteadOf(target, [...deps.targets().keys()])}`,
      );
    if (environment !== undefined && !targets.some((t) => t.environment === environment))
      throw badInput(
        `scope: no target is in environment "${environment}". ${insteadOf(environment, [...new Set(targets.map((t) => t.environment))])}`,
      );
  };
  const view = async (id: number) => ({ body: viewWindow((await findWindow(db, id))!) });
  const moveOf = (call: { person: string; request: string }, why?: string): Move => ({
    by: call.person,
    request: call.request,
    why,
  });
  const taken = (name: string) =>
    new SignalboxError('name-taken', `There is a window "${name}" already; give this one another name.`);
  const stale = async (id: number, asked: number) => {
    const now = await findWindow(db, id);
    if (!now) return notFound(`deployment window ${id}`);
    return new SignalboxError(
      'stale-version',
      `The window is at version ${now.version} by now, not ${asked}; look again.`,
      {
        version: now.version,
      },
    );
  };
  return [
    route({
      method: 'get',
      path: '/deployment-windows',
      summary: 'Deployment windows and freezes, newest first',
      permission: 'read',
      query: listQuery.omit({ target: true }),
      answers: { status: 200, schema: pageView(windowView) },
      handle: async ({ query }) => ({
        body: await page(db, liveWindows(db), 'id', query, (rows: WindowRow[]) =>
          Promise.resolve(rows.map(viewWindow)),
        ),
      }),
    }),
    route({
      method: 'get',
      path: '/deployment-windows/status',
      summary: 'Whether a target, or a promotion, is open at a time, why, and until when',
      permission: 'read',
      query: windowStatusQuery,
      answers: { status: 200, schema: windowStatusView },
      async handle({ query }) {
        const at = query.at === undefined ? await databaseNow(db) : Date.parse(query.at);
        if ((query.target === undefined) === (query.promotion === undefined))
          throw badInput('Give either target or promotion.');
        const standing = query.promotion
          ? await standingOf(db, parsePromotionKey(query.promotion))
          : undefined;
        if (query.promotion && !standing) throw notFound(`promotion ${query.promotion}`);
        const name = standing?.target ?? query.target!;
        const target = deps.targets().get(name);
        if (!target) throw notFound(`target ${name}`);
        const { environment } = target;
        const { type, risk } = query;
        const schedule = await deps.windows.current();
        const status = schedule.status({ target: name, type, risk, ...standing, environment }, at);
        return { body: viewWindowStatus(status, await knownDuration(db, name), at) };
      },
    }),
    route({
      method: 'post',
      path: '/deployment-windows/preview',
      summary: 'What a proposed window or freeze would hold; changes nothing',
      permission: 'read',
      readsOnly: true,
      body: windowBody,
      query: previewQuery,
      answers: { status: 200, schema: previewView },
      async handle({ body, query }) {
        check(body);
        return { body: await previewOf(deps, body, query.replaces) };
      },
    }),
    route({
      method: 'post',
      path: '/deployment-windows',
      summary: 'Add a window or a freeze; whoever waits for a window looks again',
      permission: 'windows',
      target: ({ body }) => Promise.resolve(targetOf(body.scope)),
      body: windowBody,
      answers: { status: 201, schema: windowView },
      async handle(call) {
        check(call.body);
        const id = Number(
          await call.once(async (tx) => {
            const made = await addWindow(tx, call.body, moveOf(call, call.body.reason));
            if (made === undefined) throw taken(call.body.name);
            return String(made);
          }),
        );
        await wakeSleepers(deps);
        return { status: 201, ...(await view(id)) };
      },
    }),
    route({
      method: 'get',
      path: '/deployment-windows/:id',
      summary: 'One window',
      permission: 'read',
      answers: { status: 200, schema: windowView },
      handle: async ({ params }) => ({ body: viewWindow(await find(params.id!)) }),
    }),
    route({
      method: 'patch',
      path: '/deployment-windows/:id',
      summary: 'Change a window; whoever waits for a window looks again',
      ifMatch: true,
      permission: 'windows',
      target: scopeOf,
      body: windowEdit,
      answers: { status: 200, schema: windowView },
      async handle(call) {
        const row = await find(call.params.id!);
        const next = edited(windowOf(row), call.body);
        allowScope(call, next.scope);
        check(next);
        const answer = await call.write(async (tx) => {
          const changed = await changeWindow(tx, row.id, next, moveOf(call), call.ifMatch);
          if (changed === undefined) throw taken(next.name);
          if (!changed) throw await stale(row.id, call.ifMatch ?? row.version);
          return { body: viewWindow((await findWindow(tx, row.id))!) };
        });
        await wakeSleepers(deps);
        return answer;
      },
    }),
    route({
      method: 'delete',
      path: '/deployment-windows/:id',
      summary: 'Remove a window; whoever waits for a window looks again',
      ifMatch: true,
      permission: 'windows',
      target: scopeOf,
      body: reasonBody,
      answers: { status: 200, schema: windowView },
      async handle(call) {
        const row = await find(call.params.id!);
        const answer = await call.write(async (tx) => {
          if (!(await removeWindow(tx, row.id, moveOf(call, call.body.reason), call.ifMatch)))
            throw await stale(row.id, call.ifMatch ?? row.version);
          return { body: viewWindow(row) };
        });
        await wakeSleepers(deps);
        return answer;
      },
    }),
    route({
      method: 'post',
      path: '/deployment-windows/:id/overrides',
      summary:
        'Ask to override this window for one promotion; it counts once a second release manager agrees',
      permission: 'windows',
      target: async ({ body }) => {
        const promotion = await findPromotion(db, parsePromotionKey(body.promotion));
        return promotion?.target;
      },
      body: overrideBody,
      answers: { status: 201, schema: overrideView },
      async handle(call) {
        const row = await find(call.params.id!);
        const promotion = await findPromotion(db, parsePromotionKey(call.body.promotion));
        if (!promotion) throw notFound(`promotion ${call.body.promotion}`);
        const expiresAt = new Date(call.body.expiresAt);
        if (expiresAt.getTime() <= (await databaseNow(db)))
          throw badInput('expiresAt has to be in the future.');
        const { scope } = windowOf(row);
        const environment = deps.targets().get(promotion.target)?.environment;
        if (
          (scope.target ?? promotion.target) !== promotion.target ||
          (scope.environment ?? environment) !== environment
        )
          throw badInput(
            `"${row.name}" does not cover ${promotion.target}, so there is nothing to override for ${call.body.promotion}.`,
          );
        await notTheirs(promotion.id, call.person, call.mintedBy);
        const id = Number(
          await call.once(async (tx) =>
            String(
              await askOverride(
                tx,
                { window: row.id, promotion: promotion.id, reason: call.body.reason, expiresAt },
                moveOf(call, call.body.reason),
              ),
            ),
          ),
        );
        return { status: 201, body: (await viewOverrides(db, [(await findOverride(db, id))!]))[0] };
      },
    }),
    route({
      method: 'post',
      path: '/window-overrides/:id/second',
      summary: 'Agree to an override that another release manager asked for; it counts from now on',
      permission: 'windows',
      target: targetOfOverride,
      body: emptyBody,
      answers: { status: 200, schema: overrideView },
      async handle(call) {
        const row = await overrideOf(call.params.id!);
        const key = promotionKey(row.promotion);
        const own = (why: string) =>
          new SignalboxError('own-change', `${call.person} ${why}; somebody else has to agree.`);
        if (samePerson(row.requested_by, call.person)) throw own(`asked for the override of ${key}`);
        if (call.mintedBy && samePerson(call.mintedBy, row.requested_by))
          throw own(`acts by a token that ${call.mintedBy} made`);
        await notTheirs(row.promotion, call.person, call.mintedBy);
        const answer = await call.write(async (tx) => {
          if (!(await secondOverride(tx, row.id, moveOf(call, row.reason))))
            throw new SignalboxError(
              'illegal-transition',
              'This override is in force already, was revoked or has run out; ask for a new one.',
            );
          return { body: (await viewOverrides(tx, [(await findOverride(tx, row.id))!]))[0] };
        });
        await wakeSleepers(deps);
        return answer;
      },
    }),
    route({
      method: 'post',
      path: '/window-overrides/:id/revoke',
      summary: 'Take an override back; the window counts again',
      permission: 'windows',
      target: targetOfOverride,
      body: reasonBody,
      answers: { status: 200, schema: overrideView },
      async handle(call) {
        const row = await overrideOf(call.params.id!);
        const answer = await call.write(async (tx) => {
          if (!(await revokeOverride(tx, row.id, moveOf(call, call.body.reason))))
            throw new SignalboxError('illegal-transition', 'This override was revoked already.');
          return { body: (await viewOverrides(tx, [(await findOverride(tx, row.id))!]))[0] };
        });
        await wakeSleepers(deps);
        return answer;
      },
    }),
  ];

  function allowScope(call: Call<unknown, unknown>, scope: DeploymentWindow['scope']): void {
    if (may(call.grants, 'windows', targetOf(scope))) return;
    const { code, message, needs } = whyMayNot(
      call.person,
      call.grants,
      'windows',
      scope.target ?? 'every target',
    );
    throw new SignalboxError(code, message, { needs });
  }
}

/** A window with some of it changed; null takes a part away. */
function edited(window: DeploymentWindow, edit: z.infer<typeof windowEdit>): NewWindow {
  const { id: _id, ...before } = window;
  const all = {
    ...before,
    ...Object.fromEntries(Object.entries(edit).filter(([, value]) => value !== undefined)),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== null),
  ) as unknown as NewWindow;
}

/** Lets whoever waits for a window look again. When Temporal is away, `reconcile` does it once it is back. */
async function wakeSleepers({ db, temporal, log }: ApiDeps): Promise<void> {
  try {
    const revision = await windowRevision(db);
    if (!(await anyStaleSleeper(db, revision))) return;
    await temporal.workflow.start('wakeSleepers', {
      workflowId: wakeWorkflowId(revision),
      workflowIdConflictPolicy: 'USE_EXISTING',
      taskQueue: controlQueue,
      args: [],
      staticSummary: 'A window was changed: wake deployments that wait for one',
    });
  } catch (thrown) {
    log.warn({ err: thrown }, 'who waits for a window will be told by reconcile');
  }
}
