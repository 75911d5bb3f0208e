import { z } from 'zod';
import * as runner from '../domain/runner';
import { notFound, SignalboxError } from '../domain/errors';
import { observedSchema } from '../domain/observed';
import { rebindAll } from '../db/change-content';
import { findDeploymentById } from '../db/deployments';
import { createJournal } from '../db/journal';
import { leftOnHost } from '../db/left';
import { heardOf, takenBy } from '../db/runners';
import { hasOpen, type Try } from '../db/steps';
import { tellMoved } from './change-requests';
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
    return row!;
  };
  /** What its steps are said to have done is believed, so that they have to be a runner's: workers do those of other targets. */
  const taken = async (params: Record<string, string>, deployment: number) => {
    const { runner: by } = await mine(params, deployment);
    if (by === null || !deps.targets().get(params.target!)?.runner)
      throw new SignalboxError(
        'role-required',
        `No runner of ${params.target} has taken deployment ${deployment}; its steps are done by workers.`,
      );
  };
  const said = <Body>(definition: {
    what: string;
    summary: string;
    body: z.ZodType<Body>;
    answer: z.ZodType;
    bodyLimit?: number;
    /** @returns undefined: null is answered. */
    value(call: { params: Record<string, string>; body: Body }): Promise<unknown>;
  }) =>
    route({
      method: 'post',
      permission: 'run-steps',
      target,
      path: `/runners/:target/${definition.what}`,
      summary: definition.summary,
      body: definition.body,
      ...(definition.bodyLimit ? { bodyLimit: definition.bodyLimit } : {}),
      answers: { status: 200, schema: z.object({ value: definition.answer }) },
      handle: async (call) => ({ body: { value: (await definition.value(call)) ?? null } }),
    });
  /** What is said of a try of a step, which has to be one of the token's own target. */
  const ofTry = <Body extends { try: Try }>(
    what: string,
    summary: string,
    body: z.ZodType<Body>,
    answer: z.ZodType,
    value: (body: Body) => Promise<unknown>,
    bodyLimit?: number,
  ) =>
    said({
      what,
      summary,
      body,
      answer,
      bodyLimit,
      async value(call) {
        await taken(call.params, call.body.try.deployment);
        return value(call.body);
      },
    });

  /** What a try says that has lost its step, or whose attempt has ended, is not written. */
  const whileOpen =
    <Body extends { try: Try }>(write: (body: Body) => Promise<unknown>) =>
    async (body: Body) =>
      (await hasOpen(db, body.try)) ? write(body) : undefined;

  return [
    said({
      what: 'hello',
      summary: 'A runner says that it is there, and how it acts',
      body: runner.helloBody,
      answer: z.null(),
      async value({ params, body }) {
        const config = deps.targets().get(params.target!);
        if (!config?.runner) throw notFound(`target ${params.target!.slice(0, 80)} that has runners`);
        const { startedAt, acts = null, sandbox = null, ...more } = body;
        const about = { target: config.name, ...more, acts, sandbox, started_at: new Date(startedAt) };
        if (!(await heardOf(db, about))) return;
        for (const voided of await rebindAll(db, new Map([[config.name, config]])))
          await tellMoved(deps, voided);
      },
    }),
    said({
      what: 'claim',
      summary: 'A runner takes a deployment: it does the steps from now on',
      body: runner.claimBody,
      answer: z.boolean(),
      async value({ params, body }) {
        await mine(params, body.deployment);
        if (!deps.targets().get(params.target!)?.runner)
          throw notFound(`target ${params.target!.slice(0, 80)} that has runners`);
        return takenBy(db, body.deployment, body.owner, body.runner);
      },
    }),
    said({
      what: 'sighted',
      summary:
        "Note what a workflow asked to look at on the target; false when the attempt is not that workflow's",
      body: runner.sightedBody,
      answer: z.boolean(),
      async value({ params, body }) {
        await mine(params, body.deployment);
        return journal.sighted(body);
      },
    }),
    said({
      what: 'left',
      summary:
        'What an ended deployment left on the host, and which backups may go; null when it has none to tidy',
      body: runner.leftBody,
      answer: z.looseObject({ key: z.string() }).nullable(),
      value: ({ params, body }) => leftOnHost(db, deps.targets(), { ...body, target: params.target! }),
    }),
    ofTry(
      'begin',
      'Open a step for a try; null when the attempt has moved on, "held" when a newer try has the step',
      runner.beginBody,
      z.union([z.looseObject({}), z.literal('held')]).nullable(),
      async (body) => {
        const begun = await journal.begin(body.try, body.recipe);
        // A runner of the previous version knows of no third answer.
        return begun === 'held' && body.try.scheduled === undefined ? undefined : begun;
      },
    ),
    ofTry(
      'fence',
      'A new fencing number for a try; null when it no longer holds its step',
      runner.fenceBody,
      z.number().int().nullable(),
      (body) => journal.fence(body.try, body.held),
    ),
    ofTry(
      'permit',
      'Whether a migration or a swap may begin now; null when it may',
      runner.permitBody,
      z.object({ type: z.string(), message: z.string() }).nullable(),
      (body) => journal.permit(body.try, body.what, body.recipe, body.acts),
    ),
    ofTry(
      'not-begun',
      'Note that a migration did not begin after all: its command did not run',
      runner.notBegunBody,
      z.null(),
      async (body) => {
        await journal.notBegun(body.try);
        return undefined;
      },
    ),
    ofTry(
      'observed',
      'Record what is live: before an attempt acts, or put there by somebody else meanwhile',
      runner.observedBody,
      observedSchema.nullable(),
      (body) => journal.observed(body.try, body.when, body.live),
    ),
    ofTry(
      'trouble',
      'Note why a try did not succeed; null when a newer one holds the step',
      runner.troubleBody,
      z.object({ tries: z.number().int(), forMs: z.number() }).nullable(),
      whileOpen((body) => journal.trouble(body.try, body.met)),
    ),
    ofTry(
      'overcame',
      'Note that a try has gone on beyond what stopped those before',
      runner.overcameBody,
      z.null(),
      whileOpen((body) => journal.overcame(body.try, body.kept)),
    ),
    ofTry(
      'lines',
      'Append lines to the log of an open step; those of a try that has lost it are not written',
      runner.linesBody,
      z.null(),
      whileOpen((body) =>
        journal.append(
          body.try,
          body.lines.map((line) => ({ ...line, at: new Date(line.at) })),
        ),
      ),
      linesLimit,
    ),
    ofTry(
      'finish',
      'Close a step and record what it made; false when a newer try has it: then nothing is recorded',
      runner.finishBody,
      z.boolean(),
      (body) => journal.finish(body.try, body.to, body.detail, body.made),
    ),
  ];
}
