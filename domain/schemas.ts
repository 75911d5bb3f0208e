import { z } from 'zod';
import { targetName } from './config';
import { changeTypes, risks, roles, statesOf, triggers } from './machines';
import { parseGrant, permissions, type Permission } from './permissions';
import { strict } from './strict';

const permissionNames = Object.keys(permissions) as [Permission, ...Permission[]];

/** What the API takes and answers. One source for validation, types and the OpenAPI document. */

// PostgreSQL's text holds every character but NUL; refusing it here keeps it a 400.
const noNul = (value: string) => !value.includes('\0');
// A title or a reason is shown in terminals too, where control characters would act.
const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;
const line = (max: number) =>
  z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(max)
    .refine(noNul, 'must not contain NUL')
    .refine((value) => !controls.test(value.replaceAll('\0', '')), 'must not contain control characters')
    .refine((value) => value.isWellFormed(), 'must be well-formed Unicode');
const reason = line(2000);

export const shipBody = strict({
  target: targetName,
  revision: line(200).refine((v) => !v.startsWith('-'), 'must not start with a dash'),
  title: line(200),
  change: strict({
    type: z.enum(changeTypes).default('normal'),
    risk: z.enum(risks).optional(),
    description: line(20_000).optional(),
    emergencyReason: reason.optional(),
  })
    .refine((change) => change.type !== 'emergency' || change.emergencyReason !== undefined, {
      error: 'an emergency change needs a reason',
      path: ['emergencyReason'],
    })
    .default({ type: 'normal' }),
  submit: z.boolean().default(false),
}).meta({ id: 'Ship' });

export const deployBody = strict({
  when: z.literal('now').default('now'),
  reason: reason.optional(),
}).meta({ id: 'Deploy' });
export const reasonBody = strict({ reason: reason.optional() }).meta({ id: 'Reason' });
export const decisionBody = strict({
  decision: z.enum(['approve', 'reject']),
  comment: reason.optional(),
})
  .refine((body) => body.decision === 'approve' || body.comment !== undefined, {
    error: 'a rejection needs a comment',
    path: ['comment'],
  })
  .meta({ id: 'Decision' });
export const resolveBody = strict({ action: z.enum(['retry', 'accept']), reason }).meta({ id: 'Resolve' });
export const emptyBody = strict({}).meta({ id: 'Empty' });

export const listQuery = strict({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(200).optional(),
  target: targetName.optional(),
});
export const logQuery = strict({
  after: z.coerce.number().int().min(0).max(2_147_483_647).default(0),
  limit: z.coerce.number().int().min(1).max(5000).default(1000),
  tail: z
    .literal('true', 'allowed: true')
    .optional()
    .describe('the newest lines after `after` instead of the first'),
  stream: z.enum(['out', 'err', 'note'], 'allowed: out, err or note').optional(),
});

const at = z.iso.datetime().describe('UTC, ISO 8601');
const maybeAt = at.nullable();
const versioned = { version: z.number().int(), createdAt: at, updatedAt: at };

export const stepView = z
  .object({
    name: z.string(),
    status: z.enum(statesOf('step')),
    startedAt: at,
    finishedAt: maybeAt,
    detail: z.string(),
  })
  .meta({ id: 'Step' });

export const backupView = z
  .object({ reference: z.string(), sha256: z.string(), bytes: z.number(), verifiedAt: at })
  .meta({ id: 'Backup' });

export const deploymentView = z
  .object({
    key: z.string().meta({ example: 'CP-7.1' }),
    promotion: z.string(),
    target: z.string(),
    attempt: z.number().int(),
    fence: z.number().int().nullable(),
    trigger: z.enum(triggers),
    status: z.enum(statesOf('deployment')),
    startedBy: z.string(),
    startedAt: maybeAt,
    finishedAt: maybeAt,
    from: z.string().nullable().describe('digest of the release before; null: none'),
    to: z.string().nullable().describe('digest of the release being deployed'),
    position: z.number().int().nullable().describe('place in the queue for the lane; 1 is next'),
    scheduledFor: maybeAt,
    waitingFor: z.string().nullable().describe('in plain words'),
    outcome: z.string().nullable().describe('why it ended as it did, in plain words'),
    backup: backupView.nullable(),
    steps: z.array(stepView),
    temporal: z.object({ workflowId: z.string(), runId: z.string(), url: z.string().nullable() }),
    ...versioned,
  })
  .meta({ id: 'Deployment' });

export const promotionView = z
  .object({
    key: z.string().meta({ example: 'CP-7' }),
    target: z.string(),
    title: z.string(),
    revision: z.string(),
    commit: z.string(),
    release: z.string().nullable().describe('digest; null until built'),
    status: z.enum(statesOf('promotion')),
    changeRequest: z.string(),
    shippedBy: z.string(),
    shippedAt: at,
    current: z.string().nullable().describe('key of the latest attempt, also after it ended'),
    deployments: z.array(deploymentView),
    backup: backupView.nullable(),
    live: z.boolean().describe("whether this promotion's release is what the target runs"),
    ...versioned,
  })
  .meta({ id: 'Promotion' });

export const changeRequestView = z
  .object({
    key: z.string().meta({ example: 'RFC-7' }),
    type: z.enum(changeTypes),
    risk: z.enum(risks),
    status: z.enum(statesOf('changeRequest')),
    title: z.string(),
    description: z.string(),
    requester: z.string(),
    emergencyReason: z.string().nullable(),
    promotion: z.string(),
    submission: z.number().int(),
    outcome: z.string().nullable(),
    decisions: z.array(
      z.object({
        id: z.string(),
        approver: z.string(),
        decision: z.enum(['approve', 'reject']),
        comment: z.string().nullable(),
        counted: z.boolean().describe('false: recorded as refused'),
        refusal: z.string().nullable(),
        at,
      }),
    ),
    ...versioned,
  })
  .meta({ id: 'ChangeRequest' });

export const targetView = z
  .object({
    name: z.string(),
    environment: z.string(),
    repository: z.string(),
    promotionsEnabled: z.boolean(),
    promotionsDisabledReason: z.string().nullable(),
    current: z
      .object({ release: z.string(), promotion: z.string(), revision: z.string(), commit: z.string() })
      .nullable()
      .describe('what it runs; null: nothing was deployed, or the first deployment was undone'),
    lane: z.string().nullable().describe('key of the attempt that holds the lane'),
    fence: z.number().int(),
    expectedMs: z
      .record(z.string(), z.number())
      .describe('how long each step took lately: the median of its last 20 runs that ended well'),
  })
  .meta({ id: 'Target' });

export const logLine = z
  .object({ seq: z.number().int(), at, step: z.string(), stream: z.string(), text: z.string() })
  .meta({ id: 'LogLine' });

export const meView = z
  .object({
    person: z.string(),
    roles: z.array(z.string()).describe('"sre", or "sre:shop" on one target'),
    may: z
      .partialRecord(z.enum(permissionNames), z.array(z.string()).nullable())
      .describe('what they may do; with the targets it is limited to, null: everywhere'),
    credential: z.string(),
    canBe: z
      .array(z.object({ person: z.string(), roles: z.array(z.string()) }))
      .describe('whom a session of the embedded mode may go on as'),
  })
  .meta({ id: 'Me' });
export type MeView = z.infer<typeof meView>;

const grant = z
  .string()
  .max(100)
  .refine((value) => parseGrant(value) !== undefined, {
    error: `allowed: a role (${roles.join(', ')}), or a role on one target such as sre:shop`,
  });
export const newTokenBody = strict({
  person: line(200),
  roles: z.array(grant).min(1).max(50),
  label: line(200).optional(),
  expiresAt: z.iso.datetime().nullable().describe('null: it does not run out'),
}).meta({ id: 'NewToken' });
export const tokenView = z
  .object({
    id: z.number().int(),
    person: z.string(),
    roles: z.array(z.string()),
    label: z.string(),
    mintedBy: z.string().nullable().describe('who made it, when that is somebody else'),
    createdAt: at,
    expiresAt: maybeAt,
    revokedAt: maybeAt,
    lastUsedAt: maybeAt.describe('to the minute'),
  })
  .meta({ id: 'Token' });
export const newTokenView = tokenView
  .extend({ token: z.string().describe('shown this once') })
  .meta({ id: 'MadeToken' });
export const personView = z
  .object({ name: z.string(), roles: z.array(z.string()), disabledAt: maybeAt })
  .meta({ id: 'Person' });
export const switchBody = strict({ person: line(200) }).meta({ id: 'Switch' });
export const sessionView = z.object({ person: z.string() }).meta({ id: 'Session' });

export const auditQuery = strict({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(200).optional(),
  actor: line(200).optional(),
  action: line(100).optional().describe('an action or how it begins, such as "deployment."'),
  subject: line(200).optional().describe('a key, such as CP-7.1'),
  request: line(100).optional(),
  from: z.iso.datetime().optional(),
  to: z.iso.datetime().optional(),
});
export const auditEntry = z
  .object({
    id: z.number().int(),
    at: z.string(),
    actor: z.string(),
    action: z.string(),
    subject: z.string(),
    before: z.unknown(),
    after: z.unknown(),
    why: z.string().nullable(),
    request: z.string().nullable().describe('id of the HTTP request it goes back to'),
    seq: z.number().int().nullable().describe('its number in the chain; null until it is sealed'),
    hash: z.string().nullable(),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.infer<typeof auditEntry>;
export type TokenView = z.infer<typeof tokenView>;
export type PersonView = z.infer<typeof personView>;

export const problemView = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.string(),
    detail: z.string(),
  })
  .loose()
  .meta({ id: 'Problem' });

export type DeploymentView = z.infer<typeof deploymentView>;
export type PromotionView = z.infer<typeof promotionView>;
export type ChangeRequestView = z.infer<typeof changeRequestView>;
export type TargetView = z.infer<typeof targetView>;
export type StepView = z.infer<typeof stepView>;
export type LogLine = z.infer<typeof logLine>;
