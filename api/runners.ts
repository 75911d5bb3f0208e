import { z } from 'zod';
import * as runner from '../domain/runner';
import { notFound, SignalboxError } from '../domain/errors';
import { observedSchema } from '../domain/observed';
import { findDeploymentById } from '../db/deployments';
import { createJournal } from '../db/journal';
import { heardOf, takenBy } from '../db/runners';
import type { ApiDeps } from './deps';
import { route, type Route } from './route';

/** Text of a batch of log lines, with what JSON adds. */
const linesLimit = 8_388_608;

/**
 * The journal for runners: hosts that do a target's steps themselves and have no way to the database. A runner's token is
 * good for one target, and for nothing else than this.
 */
export function runnerRoutes(deps: ApiDeps): Route[] {
  const { db } = deps;
  const journal = createJournal(deps);
  const target = ({ params }: { params: Record<string, string> }) => Promise.resolve(params.target);
  /** A token for one target must not write into another one's deployment. */
  const mine = async (params: Record<string, string>, deployment: number) => {
    const row = await findDeploymentById(db, deployment);
    if (row?.target !== params.target)
      throw new SignalboxError(
        'role-required',
        `Deployment ${deployment} is none of ${params.target}'s; this runner's token is for ${params.target} alone.`,
      );
  };
  const common = { method: 'post', permission: 'run-steps', target } as const;
  const answer = (schema: z.ZodType) => ({ status: 200, schema: z.object({ value: schema }) });
  return [
    route({
      ...common,
      path: '/runners/:target/hello',
      summary: 'A runner says that it is there',
      body: runner.helloBody,
      answers: answer(z.null()),
      async handle({ params, body }) {
        if (!deps.targets().get(params.target!)?.runner)
          throw notFound(`target ${params.target!.slice(0, 80)} that has runners`);
        const { startedAt, ...more } = body;
        await heardOf(db, { target: params.target!, ...more, started_at: new Date(startedAt) });
        return { body: { value: null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/claim',
      summary: 'A runner takes a deployment: it does the steps from now on',
      body: runner.claimBody,
      answers: answer(z.boolean()),
      async handle({ params, body }) {
        await mine(params, body.deployment);
        return { body: { value: await takenBy(db, body.deployment, body.owner, body.runner) } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/begin',
      summary:
        'Open a step for a try; null when the attempt has moved on, "held" when a newer try has the step',
      body: runner.beginBody,
      answers: answer(z.union([z.looseObject({}), z.literal('held')]).nullable()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        const begun = await journal.begin(body.try, body.recipe);
        // A runner of the previous version knows of no third answer.
        const value = begun === 'held' && body.try.scheduled === undefined ? undefined : begun;
        return { body: { value: value ?? null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/fence',
      summary: 'A new fencing number for a try; null when it no longer holds its step',
      body: runner.fenceBody,
      answers: answer(z.number().int().nullable()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        return { body: { value: (await journal.fence(body.try, body.held)) ?? null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/permit',
      summary: 'Whether a migration or a swap may begin now; null when it may',
      body: runner.permitBody,
      answers: answer(z.object({ type: z.string(), message: z.string() }).nullable()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        return { body: { value: (await journal.permit(body.try, body.what, body.recipe)) ?? null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/observed',
      summary: 'Record what is live: before an attempt acts, or put there by somebody else meanwhile',
      body: runner.observedBody,
      answers: answer(observedSchema.nullable()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        return { body: { value: (await journal.observed(body.try, body.when, body.live)) ?? null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/trouble',
      summary: 'Note why a try did not succeed; null when a newer one holds the step',
      body: runner.troubleBody,
      answers: answer(z.object({ tries: z.number().int(), forMs: z.number() }).nullable()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        return { body: { value: (await journal.trouble(body.try, body.met)) ?? null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/overcame',
      summary: 'Note that a try has gone on beyond what stopped those before',
      body: runner.overcameBody,
      answers: answer(z.null()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        await journal.overcame(body.try, body.kept);
        return { body: { value: null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/lines',
      summary: 'Append lines to the log',
      bodyLimit: linesLimit,
      body: runner.linesBody,
      answers: answer(z.null()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        const lines = body.lines.map((line) => ({ ...line, at: new Date(line.at) }));
        await journal.append(body.try, lines);
        return { body: { value: null } };
      },
    }),
    route({
      ...common,
      path: '/runners/:target/finish',
      summary:
        'Close a step and record what it made; false when a newer try has it: then nothing is recorded',
      body: runner.finishBody,
      answers: answer(z.boolean()),
      async handle({ params, body }) {
        await mine(params, body.try.deployment);
        const { to, detail, made } = body;
        return { body: { value: await journal.finish(body.try, to, detail, made) } };
      },
    }),
  ];
}
