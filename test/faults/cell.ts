import { basename, join } from 'node:path';
import { readlinkSync } from 'node:fs';
import { chance } from './chance';
import { agrees, checksums, violations } from './invariants';
import { interrupt } from './interrupt';
import { endsOf, failpointOf, steps, type Cell } from './matrix';
import type { Stack } from './stack';
import { patienceMs, until } from '../helpers/until';
import { strike } from './strike';

export interface CellResult {
  cell: string;
  seed: number;
  violations: string[];
  /** From everything being there again to the deployment's end; 0 when it had ended before. */
  recoveryMs: number;
  /** From the deployment's end to Temporal agreeing with the record. */
  convergenceMs: number;
  samples: number;
  failures: number;
  tookMs: number;
}

let serial = 0;

/** Runs one cell on a stack: strikes the victim while a deployment stands at the point, and looks at everything. */
export async function runCell(stack: Stack, cell: Cell, seed: number): Promise<CellResult> {
  const began = Date.now();
  const { users, barrier } = stack;
  const dice = chance(seed, cell.name);
  const step = steps[cell.step]!;
  const wrong: string[] = [];
  const tag = `cell-${++serial}`;
  await stack.commit(tag, step.release);
  const before = step.queued ? await blocked() : undefined;
  const from = () => basename(readlinkSync(join(stack.root, 'current')));
  let expected = { from: from(), data: checksums(stack.data, true) };
  stack.prober.take();

  const promotion = await users.approved(tag);
  const point = failpointOf(cell);
  if (point !== 'ended') barrier.arm(point);
  let attempt: string;
  const click = users.deploy(promotion).then((key) => (attempt = key));
  click.catch(() => undefined);
  if (before) {
    await click;
    await before.letGo();
    expected = { from: from(), data: checksums(stack.data, true) };
    stack.prober.take();
  }
  if (point === 'ended') {
    await users.ended(await click);
    await until('Temporal to agree', () => agrees(stack, attempt));
  } else await barrier.reached(point);

  const open = () => barrier.open(point);
  const struck =
    cell.victim === 'deployment'
      ? await interrupt(stack, cell, promotion, dice, open)
      : await strike(stack, cell.victim, cell.fault, dice, open);
  wrong.push(...struck.wrong);
  attempt = await click;
  const end = await users.ended(attempt).catch((thrown: unknown) => {
    wrong.push(`I9: ${String(thrown)}`);
    return undefined;
  });
  const endedAt = Date.now();
  const ends = endsOf(cell);
  if (end && !ends.includes(end.status))
    wrong.push(`it ended as ${end.status}, not ${ends.join(' or ')}: ${end.outcome}`);
  await until('Temporal to agree', () => agrees(stack, attempt)).catch(() =>
    wrong.push(`I4: Temporal and the record still disagree ${patienceMs / 1000} s later`),
  );
  const convergedAt = Date.now();
  await struck.afterwards();
  if (point !== 'ended') barrier.open(point);
  for (const [name, member] of [
    ['worker', stack.worker],
    ['API', stack.api],
  ] as const)
    if (!member.alive()) wrong.push(`the ${name} ended by itself: ${member.tail()}`);
  // What was seen until now; the check takes it.
  const { samples, failures } = await watched();
  if (end) wrong.push(...(await violations(stack, { attempt, status: end.status, ...expected })));
  if (wrong.length === 0) wrong.push(...(await goesOn()));
  return {
    cell: cell.name,
    seed,
    violations: [...new Set([...wrong, ...struck.wrong])],
    recoveryMs: Math.max(0, endedAt - struck.healedAt),
    convergenceMs: convergedAt - endedAt,
    samples,
    failures,
    tookMs: Date.now() - began,
  };

  /** The samples so far, left where they are. */
  async function watched() {
    await until('enough samples', () => stack.prober.so().samples >= 20).catch(() => undefined);
    const { samples, failures } = stack.prober.so();
    return { samples, failures: failures.length };
  }

  /** Another deployment that holds the lane until it is let go, and is over by the time the cell's turn comes. */
  async function blocked() {
    const tag = `first-${serial}`;
    await stack.commit(tag, 'well');
    barrier.arm('backup/asked');
    const ahead = await users.deploy(await users.approved(tag));
    await barrier.reached('backup/asked');
    return {
      async letGo() {
        barrier.open('backup/asked');
        const { status } = await users.ended(ahead);
        if (status !== 'succeeded') wrong.push(`the deployment ahead ended as ${status}`);
      },
    };
  }

  /** The system still works: the next deployment goes through. */
  async function goesOn(): Promise<string[]> {
    const next = `next-${serial}`;
    await stack.commit(next, 'well');
    try {
      const { status, outcome } = await users.ended(await users.deploy(await users.approved(next)));
      return status === 'succeeded' ? [] : [`the next deployment ended as ${status}: ${outcome}`];
    } catch (thrown) {
      return [`the next deployment: ${String(thrown)}`];
    }
  }
}
