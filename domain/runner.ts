import { z } from 'zod';
import { instant as at, programText, wholeNumber } from './input';
import { observedSchema } from './observed';
import { hostSandbox } from './sandbox';
import { strict } from './strict';

/** What a runner says to the API: it does a target's steps on the target's own host and records them here. */
const text = (max: number) => programText(max, 1);
const number = wholeNumber(1);
/** Bytes, times in ms, fencing numbers: in PostgreSQL's bigint, and what is counted on from there still exact. */
const large = wholeNumber(0, 2 ** 50);
/** Longer lines come in pieces. */
const mostLineChars = 1_000_000;
const digest = z.string().regex(/^[0-9a-f]{64}$/, 'allowed: a SHA-256 in hex');

const steps = [
  'build',
  'backup',
  'migrate',
  'swap',
  'health-check',
  'undo-swap',
  'undo-migrate',
  'take-out',
  'verify-rollback',
] as const;

/** One try of one step, as the workflow that owns the attempt asked for it. */
const stepTry = strict({
  deployment: number,
  step: z.enum(steps, `allowed: ${steps.join(', ')}`),
  owner: text(200),
  round: number,
  attempt: number,
  scheduled: large.optional(),
  during: z
    .array(z.enum(['running', 'rolling-back']))
    .min(1)
    .max(2),
});
const proof = { sha256: digest, bytes: large, entries: wholeNumber(0) };
const made = z.discriminatedUnion('kind', [
  strict({
    kind: z.literal('release'),
    release: digest,
    build: strict({
      recipe: digest,
      bytes: large,
      startedAt: at,
      finishedAt: at,
    }).optional(),
  }),
  strict({
    kind: z.literal('backup'),
    reference: text(4096),
    of: z.enum(['files', 'postgres']),
    verifiedAt: at,
    ...proof,
  }),
]);

export const beginBody = strict({ try: stepTry, recipe: digest });
export const fenceBody = strict({
  try: stepTry,
  /** What the target holds; runners of the previous version do not say it. */
  held: strict({ fence: large, by: programText(300).nullable() }).optional(),
});
/** Digest of all that acts on the target, by the runner's own targets file; runners of the previous version do not say it. */
const acts = digest.optional();
export const permitBody = strict({ try: stepTry, what: z.enum(['migrate', 'swap']), recipe: digest, acts });
export const notBegunBody = strict({ try: stepTry });
export const observedBody = strict({
  try: stepTry,
  when: z.enum(['before', 'meanwhile']),
  live: observedSchema,
});
export const troubleBody = strict({
  try: stepTry,
  met: strict({ cause: text(100), message: programText(100_000), nextTryMs: wholeNumber(0) }),
});
export const overcameBody = strict({ try: stepTry, kept: z.array(text(100)).max(100) });
export const linesBody = strict({
  try: stepTry,
  lines: z
    .array(strict({ at, stream: z.enum(['out', 'err', 'note']), text: programText(mostLineChars) }))
    .max(10_000),
});
export const finishBody = strict({
  try: stepTry,
  to: z.enum(['done', 'failed']),
  detail: programText(100_000),
  made: made.optional(),
});
export const helloBody = strict({
  id: text(100),
  host: text(300),
  version: text(50),
  startedAt: at,
  acts,
  /** What its host keeps builds in; runners of the previous version do not say it. */
  sandbox: hostSandbox.optional(),
});
/** What it saw on its target for a workflow that asked. */
export const sightedBody = strict({
  deployment: number,
  owner: text(200),
  what: z.enum(['traces', 'live']),
  found: z.looseObject({}),
});
export const leftBody = strict({ key: text(30), owner: text(200) });
export const claimBody = strict({ deployment: number, owner: text(200), runner: text(100) });

export type HelloBody = z.infer<typeof helloBody>;
