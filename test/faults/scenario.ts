import { readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeploymentView } from '../../domain/schemas';
import type { CellResult } from './cell';
import { agrees, checksums, violations } from './invariants';
import type { Stack, StackOptions } from './stack';
import { until } from '../helpers/until';

/** What the matrix does not hold: one story each, on a stack of its own, under the same invariants. */
export interface Scenario {
  /** besides/what-happens */
  name: string;
  stack?: Partial<StackOptions>;
  /** Takes long: only run when it is named. */
  alone?: true;
  /** The program that its stack begins with, when that is not the one at work. */
  program?(): string;
  /** Why it can not be run on this machine; it is skipped by name then. */
  whyNot?(): string | undefined;
  run(scene: Scene): Promise<void>;
}
export interface Scene {
  stack: Stack;
  seed: number;
  /** Says what is not as it should be. */
  wrong(what: string): void;
  demand(holds: boolean, otherwise: string): void;
  /** Ships, approves and starts a release. @param more further files of its commit. */
  start(release?: 'well' | 'sick', more?: Record<string, string>): Promise<Started>;
  /** The same to its end, with every invariant checked. */
  deploy(status: string, release?: 'well' | 'sick', more?: Record<string, string>): Promise<DeploymentView>;
}
export interface Started {
  promotion: string;
  attempt: string;
  /** Waits for its end, which has to be this one, and checks every invariant. */
  ends(status: string): Promise<DeploymentView>;
}

let serial = 0;

export async function runScenario(stack: Stack, scenario: Scenario, seed: number): Promise<CellResult> {
  const began = Date.now();
  const found: string[] = [];
  let samples = 0;
  let failures = 0;
  let convergenceMs = 0;
  const scene: Scene = {
    stack,
    seed,
    wrong: (what) => void found.push(what),
    demand: (holds, otherwise) => void (holds || found.push(otherwise)),
    async start(release = 'well', more = {}) {
      const tag = `release-${++serial}`;
      await stack.commit(tag, release, more);
      const before = {
        from: basename(readlinkSync(join(stack.root, 'current'))),
        data: checksums(stack.data, true),
      };
      stack.prober.take();
      const promotion = await stack.users.approved(tag);
      const attempt = await stack.users.deploy(promotion);
      return {
        promotion,
        attempt,
        async ends(status) {
          const end = await stack.users.ended(attempt);
          const endedAt = Date.now();
          if (end.status !== status) found.push(`it ended as ${end.status}, not ${status}: ${end.outcome}`);
          await until('Temporal to agree', () => agrees(stack, attempt)).catch(() =>
            found.push('I4: they disagree'),
          );
          convergenceMs = Math.max(convergenceMs, Date.now() - endedAt);
          await until('enough samples', () => stack.prober.so().samples >= 20).catch(() => undefined);
          samples += stack.prober.so().samples;
          failures += stack.prober.so().failures.length;
          // Not over yet: its lane is held, and somebody has to decide.
          if (end.status !== 'rollback-failed')
            found.push(...(await violations(stack, { attempt, status: end.status, ...before })));
          return end;
        },
      };
    },
    deploy: async (status, release, more) => (await scene.start(release, more)).ends(status),
  };
  await scenario.run(scene);
  for (const [name, member] of [
    ['worker', stack.worker],
    ['API', stack.api],
  ] as const)
    if (!member.alive()) found.push(`the ${name} ended by itself: ${member.tail()}`);
  // Whatever it was, it is over: the next deployment goes through.
  if (found.length === 0) await scene.deploy('succeeded');
  return {
    cell: scenario.name,
    seed,
    violations: [...new Set(found)],
    recoveryMs: 0,
    convergenceMs,
    samples,
    failures,
    tookMs: Date.now() - began,
  };
}

/** Waits until some deployment's log says this. */
export const told = (stack: Stack, text: string) =>
  until(`the log to say ${text}`, () =>
    stack.withDb(
      async (db) => (await db('deployment_log').where('text', 'like', `%${text}%`).first()) !== undefined,
    ),
  );
