import {
  countedBy,
  figureOf,
  measureNames,
  measures,
  seriesOf,
  type MeasureName,
} from '../domain/delivery-metrics';
import { notFound } from '../domain/errors';
import { countedView, deliveryMetricsQuery, deliveryMetricsView } from '../domain/schemas';
import { databaseNow } from '../db/clock';
import { deploymentFacts } from '../db/delivery-metrics';
import type { ApiDeps } from './deps';
import { route, type Route } from './route';

const dayMs = 86_400_000;
const parts = 15;
const mostCounted = 500;

/** How delivery goes: DORA's five figures, and the deployments that each is made of. */
export function deliveryMetricsRoutes({ db }: ApiDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/delivery-metrics',
      summary: "DORA's five figures over the last days, each with the period before and its course",
      permission: 'read',
      query: deliveryMetricsQuery,
      answers: { status: 200, schema: deliveryMetricsView },
      async handle({ query: { days, target } }) {
        const to = await databaseNow(db);
        const from = to - days * dayMs;
        const all = await deploymentFacts(db, new Date(from - days * dayMs), new Date(to), target);
        const now = all.filter(({ endedAt }) => endedAt >= from);
        const before = all.filter(({ endedAt }) => endedAt < from);
        return {
          body: {
            from: new Date(from).toISOString(),
            to: new Date(to).toISOString(),
            figures: measureNames.map((name) => ({
              name,
              title: measures[name].title,
              means: measures[name].means,
              unit: measures[name].unit,
              value: figureOf(name, now, days),
              before: figureOf(name, before, days),
              counted: countedBy(name, now).length,
              series: seriesOf(name, now, from, to, parts),
            })),
          },
        };
      },
    }),
    route({
      method: 'get',
      path: '/delivery-metrics/:name',
      summary: 'The deployments that a figure is made of, newest first, at most 500',
      permission: 'read',
      query: deliveryMetricsQuery,
      answers: { status: 200, schema: countedView },
      async handle({ params, query: { days, target } }) {
        const name = params.name as MeasureName;
        if (!measureNames.includes(name))
          throw notFound(`figure ${params.name!.slice(0, 80)}; there are ${measureNames.join(', ')}`);
        const to = new Date(await databaseNow(db));
        const facts = await deploymentFacts(db, new Date(to.getTime() - days * dayMs), to, target);
        const counted = countedBy(name, facts);
        return {
          body: {
            items: counted.slice(0, mostCounted).map(({ fact, value, says }) => ({
              key: fact.key,
              title: fact.title,
              target: fact.target,
              endedAt: new Date(fact.endedAt).toISOString(),
              value,
              says,
            })),
            total: counted.length,
          },
        };
      },
    }),
  ];
}
