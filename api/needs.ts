import { changeRequestKey, deploymentKey, promotionKey } from '../domain/keys';
import { needsQuery, needsView } from '../domain/schemas';
import { chainOf, standingApprovals } from '../db/approvals';
import { findChangeRequest } from '../db/change-requests';
import { needsOf, type NeedRow } from '../db/needs';
import { findOverride, findWindow } from '../db/windows';
import type { ApiDeps } from './deps';
import { route, type Route } from './route';

/** What waits for somebody: complete, so that nothing is lost behind a page of a list. */
export function needsRoutes({ db }: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/needs',
      summary: 'What waits for somebody, the most urgent first, and how much of each kind',
      permission: 'read',
      query: needsQuery,
      answers: { status: 200, schema: needsView },
      async handle({ person, query: { limit } }) {
        const { counts, needs } = await needsOf(db, person, limit);
        const items = await Promise.all(
          needs.map(async (need) => ({
            kind: need.kind,
            key: keyOf(need),
            promotion: promotionKey(need.promotion),
            changeRequest: changeRequestKey(need.promotion),
            target: need.target,
            title: need.title,
            emergency: need.emergency,
            by: need.by,
            since: need.since.toISOString(),
            dueAt: need.due?.toISOString() ?? null,
            asks: await askedBy(need),
          })),
        );
        const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
        return { body: { items, counts, total } };
      },
    }),
  ];

  async function askedBy({ kind, promotion, override }: NeedRow): Promise<string | null> {
    if (kind === 'override')
      return (await findWindow(db, (await findOverride(db, override!))!.deployment_window))!.name;
    if (kind !== 'decision') return null;
    const request = (await findChangeRequest(db, promotion))!;
    const { levels } = chainOf(request, await standingApprovals(db, promotion));
    const level = levels.find(({ missing }) => missing.length > 0);
    return level ? `${level.name}: ${level.missing.join(' and ')}` : null;
  }
}

const keyOf = ({ promotion, attempt, override, kind }: NeedRow): string =>
  attempt !== null
    ? deploymentKey(promotion, attempt)
    : override !== null
      ? String(override)
      : kind === 'deploy'
        ? promotionKey(promotion)
        : changeRequestKey(promotion);
