import { z } from 'zod';
import { targetName } from './config';
import { measureNames } from './delivery-metrics';
import { asRecorded } from './keys';
import {
  instant,
  line,
  localDay,
  localTime,
  paragraph,
  reason,
  revision,
  sought,
  wholeNumber,
  wholeNumberText,
} from './input';
import { maxDurationMinutes } from './windows/window';
import { changeTypes, risks, roles, statesOf, triggers } from './machines';
import { needKinds } from './needs';
import { parseGrant, permissions, type Permission } from './permissions';
import { sandboxKinds } from './sandbox';
import { strict } from './strict';
import { wordKinds } from './words';

const permissionNames = Object.keys(permissions) as [Permission, ...Permission[]];

/** What the API takes and answers. One source for validation, types and the OpenAPI document. */

const backlogItems = z
  .array(
    z
      .string()
      .toUpperCase()
      .regex(/^ITEM-[1-9][0-9]{0,8}$/, 'allowed: keys such as ITEM-12'),
  )
  .max(200)
  .describe('besides those that the commits name');
const planned = strict({
  start: instant.describe('UTC'),
  minutes: wholeNumber(1, 10_080),
});

/** While a target's repository is copied: what happens, and when to send the same request again. */
export const copyingView = z
  .object({
    target: z.string(),
    revision: z.string(),
    detail: z.string(),
    progress: z.object({
      phase: z.string().describe('in the words of git'),
      percent: z.number().nullable(),
      received: z.string().nullable(),
      seconds: z.number().describe('since it began'),
    }),
    retryAfterSeconds: z
      .number()
      .describe('send the same request again after so long, with its Idempotency-Key'),
  })
  .meta({ id: 'RepositoryBeingCopied' });
export type CopyingView = z.infer<typeof copyingView>;

export const shipBody = strict({
  target: targetName,
  revision,
  title: line(200),
  backlogItems: backlogItems.default([]),
  change: strict({
    type: z.enum(changeTypes).default('normal'),
    risk: z.enum(risks).optional().describe("left out: what the target's rules compute"),
    riskReason: reason.optional().describe('needed to lower the risk'),
    description: paragraph.optional(),
    emergencyReason: reason.optional(),
    rollbackPlan: paragraph.optional(),
    backupPlan: paragraph.optional(),
    planned: planned.optional().describe('when it is meant to be deployed'),
    conflictsAccepted: reason.optional().describe('why an overlap with another schedule is accepted'),
  })
    .refine((change) => change.type !== 'emergency' || change.emergencyReason !== undefined, {
      error: 'an emergency change needs a reason',
      path: ['emergencyReason'],
    })
    .default({ type: 'normal' }),
  submit: z.boolean().default(false),
}).meta({ id: 'Ship' });

export const deployBody = strict({
  when: z
    .enum(['now', 'next-window'], 'allowed: now or next-window')
    .default('now')
    .describe('next-window: outside of its window it sleeps until that opens'),
  reason: reason.optional(),
}).meta({ id: 'Deploy' });
export const reasonBody = strict({ reason: reason.optional() }).meta({ id: 'Reason' });
export const decisionBody = strict({
  decision: z.enum(['approve', 'reject']),
  comment: reason.optional(),
  digest: z.string().max(64).optional().describe('of what was looked at; left out: what it says now'),
})
  .refine((body) => body.decision === 'approve' || body.comment !== undefined, {
    error: 'a rejection needs a comment',
    path: ['comment'],
  })
  .meta({ id: 'Decision' });
export const adoptBody = strict({ reason }).meta({ id: 'Adopt' });
export const resolveBody = strict({ action: z.enum(['retry', 'accept']), reason }).meta({ id: 'Resolve' });
/** What may be changed of a request; what is left out stays. */
export const editBody = strict({
  title: line(200).optional(),
  revision: revision.optional(),
  type: z.enum(changeTypes).optional(),
  risk: z.enum(risks).optional(),
  riskReason: reason.nullable().optional(),
  description: paragraph.optional(),
  emergencyReason: reason.nullable().optional(),
  rollbackPlan: paragraph.optional(),
  backupPlan: paragraph.optional(),
  backlogItems: backlogItems.optional(),
  planned: planned.nullable().optional(),
  conflictsAccepted: reason.nullable().optional(),
}).meta({ id: 'EditChangeRequest' });
export const reviewBody = strict({ comment: reason }).meta({ id: 'Review' });

const windowFields = {
  name: line(100),
  kind: z.enum(['allow', 'freeze']),
  scope: strict({ target: targetName.optional(), environment: line(100).optional() })
    .default({})
    .describe('one target, one environment, or with neither all'),
  start: localTime.describe('local time of the first occurrence'),
  timeZone: line(60).describe('IANA zone'),
  durationMinutes: wholeNumber(1, maxDurationMinutes),
  rrule: line(500).optional().describe('RFC 5545; left out: once'),
  exceptDates: z.array(localDay).max(1000).optional(),
  until: localDay.optional(),
  changeTypes: z.array(z.enum(changeTypes)).min(1).optional(),
  risks: z.array(z.enum(risks)).min(1).optional(),
  reason: reason.optional(),
};
export const windowBody = strict(windowFields).meta({ id: 'DeploymentWindow' });
/** What is left out stays; null takes it away. */
export const windowEdit = strict({
  name: windowFields.name.optional(),
  kind: windowFields.kind.optional(),
  scope: strict({ target: targetName.optional(), environment: line(100).optional() }).optional(),
  start: localTime.optional(),
  timeZone: line(60).optional(),
  durationMinutes: windowFields.durationMinutes.optional(),
  rrule: line(500).nullable().optional(),
  exceptDates: z.array(localDay).max(1000).nullable().optional(),
  until: localDay.nullable().optional(),
  changeTypes: z.array(z.enum(changeTypes)).min(1).nullable().optional(),
  risks: z.array(z.enum(risks)).min(1).nullable().optional(),
  reason: reason.nullable().optional(),
}).meta({ id: 'EditWindow' });
export const overrideBody = strict({
  promotion: z.string().max(20).describe('CP-7'),
  reason,
  expiresAt: instant,
}).meta({ id: 'AskOverride' });
export const windowStatusQuery = strict({
  target: targetName.optional(),
  promotion: z
    .string()
    .max(20)
    .optional()
    .describe('CP-7: its target, type, risk and overrides; instead of target'),
  at: instant.optional().describe('left out: now'),
  type: z.enum(changeTypes).default('normal'),
  risk: z.enum(risks).default('medium'),
});
export const calendarQuery = strict({ from: instant, to: instant });
export const feedBody = strict({ label: line(100).describe('what will read it, such as a phone') }).meta({
  id: 'NewFeed',
});
export const deliveriesQuery = strict({
  limit: wholeNumberText(1, 200).default(50),
  cursor: z.string().max(200).optional(),
  status: z.enum(statesOf('delivery')).optional(),
});
export const emptyBody = strict({}).meta({ id: 'Empty' });

export const listQuery = strict({
  limit: wholeNumberText(1, 200).default(50),
  cursor: z.string().max(200).optional(),
  target: targetName.optional(),
});
export const changeRequestsQuery = strict({
  ...listQuery.shape,
  q: sought,
  status: z.enum(statesOf('changeRequest')).optional(),
});
const promotionStatus = z.enum(statesOf('promotion'));
export const promotionsQuery = strict({
  ...listQuery.shape,
  q: sought,
  status: z
    .union([promotionStatus, z.array(promotionStatus)])
    .transform((value) => (Array.isArray(value) ? value : [value]))
    .optional()
    .describe('several: any of them'),
});
export const logQuery = strict({
  after: wholeNumberText(0).default(0),
  limit: wholeNumberText(1, 5000).default(1000),
  tail: z
    .literal('true', 'allowed: true')
    .optional()
    .describe('the newest lines after `after` instead of the first'),
  stream: z.enum(['out', 'err', 'note'], 'allowed: out, err or note').optional(),
  step: line(100).optional().describe('lines of this step alone, such as build'),
  contains: line(200).optional().describe('lines with this text alone, whatever its case'),
});

export const at = z.iso.datetime().describe('UTC, ISO 8601');
const maybeAt = at.nullable();
export const versioned = { version: z.number().int(), createdAt: at, updatedAt: at };

export const stepView = z
  .object({
    name: z.string(),
    status: z.enum(statesOf('step')),
    startedAt: at,
    finishedAt: maybeAt,
    detail: z.string(),
    trouble: z
      .object({
        message: z.string().describe('why its last try did not succeed, and what ends that'),
        tries: z.number().int().describe('how many tries in a row met this'),
        nextTryAt: at.describe('when the next try begins; in the past: it is being made'),
      })
      .nullable()
      .describe('while a step is tried again and again; null: nothing stops it'),
  })
  .meta({ id: 'Step' });

export const backupView = z
  .object({
    reference: z.string(),
    kind: z.enum(['files', 'postgres']),
    sha256: z.string(),
    bytes: z.number(),
    verifiedAt: at,
    /** When it was removed because it was old. */
    removedAt: at.nullable(),
  })
  .meta({ id: 'Backup' });

/** In the answer to a request that was accepted (202): what is not recorded yet, why, and what happens next. */
const accepted = z.string().optional().describe('what was accepted but is not recorded yet, and why');

export const wordView = z
  .object({
    id: z.number().int(),
    kind: z.enum(wordKinds),
    action: z.enum(['retry', 'accept']).nullable().describe('of a resolution'),
    by: z.string(),
    reason: z.string().nullable(),
    saidAt: at,
    status: z.enum(statesOf('word')),
    outcome: z.string().describe('what became of it, or what it waits for, in plain words'),
    endedAt: maybeAt,
  })
  .meta({ id: 'Word' });
export type WordView = z.infer<typeof wordView>;

export const deploymentView = z
  .object({
    key: z.string().meta({ example: 'CP-7.1' }),
    promotion: z.string(),
    title: z.string(),
    emergency: z.boolean(),
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
    logRemovedAt: maybeAt.describe('when its log was removed by policy'),
    runner: z
      .string()
      .nullable()
      .describe("id of the runner on the target's own host that does its steps; null: the workers do"),
    backup: backupView.nullable(),
    steps: z.array(stepView),
    words: z
      .array(wordView)
      .describe('cancels and resolutions that were said to it, and what became of each'),
    temporal: z.object({ workflowId: z.string(), runId: z.string(), url: z.string().nullable() }),
    accepted,
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
    draft: z.boolean().describe('whether its change request was not submitted yet'),
    emergency: z.boolean(),
    shippedBy: z.string(),
    shippedAt: at,
    backlogItems: z.array(z.string()).describe('items that it carries'),
    current: z.string().nullable().describe('key of the latest attempt, also after it ended'),
    deployments: z.array(deploymentView),
    backup: backupView.nullable(),
    live: z.boolean().describe("whether this promotion's release is what the target runs"),
    blocked: z
      .string()
      .nullable()
      .describe(
        'what blocks an item that it carries, in plain words; until it is resolved it is not deployed',
      ),
    accepted,
    ...versioned,
  })
  .meta({ id: 'Promotion' });

export const overrideView = z
  .object({
    id: z.number().int(),
    window: z.object({ id: z.number().int(), name: z.string() }),
    promotion: z.string(),
    reason: z.string(),
    requestedBy: z.string(),
    secondedBy: z.string().nullable(),
    expiresAt: at,
    status: z.enum(['asked', 'in-force', 'expired', 'revoked']),
  })
  .meta({ id: 'WindowOverride' });
export type OverrideView = z.infer<typeof overrideView>;

export const windowStatusView = z
  .object({
    open: z.boolean(),
    reason: z.string(),
    windows: z.array(z.string()),
    nextOpen: maybeAt.describe('null: not within a year, or open already'),
    nextClose: maybeAt.describe('null: not within a year, or closed'),
    warning: z.string().nullable().describe('that the usual duration does not fit before it closes'),
  })
  .meta({ id: 'WindowStatus' });
export type WindowStatusView = z.infer<typeof windowStatusView>;

export const windowView = z
  .object({
    id: z.number().int(),
    name: z.string(),
    kind: z.enum(['allow', 'freeze']),
    scope: z.object({ target: z.string().optional(), environment: z.string().optional() }),
    start: z.string(),
    timeZone: z.string(),
    durationMinutes: z.number().int(),
    rrule: z.string().optional(),
    exceptDates: z.array(z.string()).optional(),
    until: z.string().optional(),
    changeTypes: z.array(z.enum(changeTypes)).optional(),
    risks: z.array(z.enum(risks)).optional(),
    reason: z.string().optional(),
    createdBy: z.string(),
    ...versioned,
  })
  .meta({ id: 'Window' });
export type WindowView = z.infer<typeof windowView>;

export const previewQuery = strict({
  replaces: wholeNumberText(1).optional().describe('number of the window that it is to take the place of'),
});
export const previewView = z
  .object({
    occurrences: z.array(z.object({ start: at, end: at })).describe('the first ten within a year'),
    holds: z
      .array(
        z.object({
          key: z.string(),
          target: z.string(),
          title: z.string(),
          status: z.string(),
          before: z.string(),
          after: z.string(),
          nextOpen: maybeAt,
        }),
      )
      .describe('what could be deployed, or would begin by itself, and would be held'),
  })
  .meta({ id: 'WindowPreview' });
export type PreviewView = z.infer<typeof previewView>;

const entry = { from: at, to: at };
const changeOnCalendar = z.object({
  key: z.string(),
  title: z.string(),
  target: z.string(),
  status: z.string(),
  emergency: z.boolean(),
  ...entry,
});
export const calendarView = z
  .object({
    windows: z.array(
      z.object({
        id: z.number().int(),
        name: z.string(),
        kind: z.enum(['allow', 'freeze']),
        scope: z.string(),
        reason: z.string().nullable(),
        ...entry,
      }),
    ),
    deployments: z.array(changeOnCalendar),
    planned: z.array(changeOnCalendar),
  })
  .meta({ id: 'Calendar' });
export type CalendarView = z.infer<typeof calendarView>;
export const feedView = z
  .object({ url: z.string().describe('shown this once; whoever has it reads the calendar and nothing else') })
  .meta({ id: 'CalendarFeed' });

export const deliveryMetricsQuery = strict({
  days: wholeNumberText(1, 366).default(30),
  target: targetName.optional(),
});
export const deliveryMetricsView = z
  .object({
    from: at,
    to: at,
    figures: z.array(
      z.object({
        name: z.enum(measureNames),
        title: z.string(),
        means: z.string(),
        unit: z.enum(['per-day', 'ms', 'share']),
        value: z.number().nullable().describe('null: there is nothing to make it of'),
        before: z.number().nullable().describe('of as many days before'),
        counted: z.number().int().describe('how many deployments it is made of'),
        series: z.array(z.number().nullable()).describe('of equal parts of the period, in order'),
      }),
    ),
  })
  .meta({ id: 'DeliveryMetrics' });
export type DeliveryMetricsView = z.infer<typeof deliveryMetricsView>;
export const countedView = z
  .object({
    items: z.array(
      z.object({
        key: z.string(),
        title: z.string(),
        target: z.string(),
        endedAt: at,
        value: z.number().describe('milliseconds, or 1 and 0 for what a share counts and does not'),
        says: z.string(),
      }),
    ),
    total: z.number().int(),
  })
  .meta({ id: 'Counted' });
export type CountedView = z.infer<typeof countedView>;

export const deliveryView = z
  .object({
    id: z.number().int(),
    webhook: z.string(),
    event: z.string(),
    subject: z.string(),
    status: z.enum(statesOf('delivery')),
    attempts: z.number().int(),
    lastError: z.string().nullable(),
    createdAt: at,
    endedAt: maybeAt,
  })
  .meta({ id: 'Delivery' });
export type DeliveryView = z.infer<typeof deliveryView>;
export const webhookView = z
  .object({
    name: z.string(),
    url: z.string().describe('without its path'),
    events: z.array(z.string()).nullable(),
    active: z.boolean(),
  })
  .meta({ id: 'Webhook' });

const commitsView = z.array(
  z.object({
    commit: z.string(),
    subject: z.string(),
    author: z.string(),
    committedAt: maybeAt.describe('null: shipped by a version that did not note it'),
  }),
);
export const changesView = z
  .object({
    since: z.string().nullable().describe('revision that the target runs now; null: it runs nothing'),
    brings: commitsView.describe('newest first, at most 100'),
    takesAway: commitsView.describe('what runs now and would not any more, newest first, at most 100'),
    files: z.number().int(),
    lines: z.number().int().describe('added and removed in all'),
  })
  .meta({ id: 'Changes' });
export type ChangesView = z.infer<typeof changesView>;

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
    commits: commitsView.describe('since what the target ran when it was shipped, newest first'),
    files: z.array(z.object({ path: z.string(), added: z.number(), removed: z.number() })),
    lines: z.number().int().describe('added and removed in all'),
    backlogItems: z.array(z.string()),
    rollbackPlan: z.string(),
    backupPlan: z.string(),
    planned: z.object({ start: at, minutes: z.number().int() }).nullable(),
    computedRisk: z
      .enum(risks)
      .nullable()
      .describe("by the target's rules; null: shipped by a version without"),
    riskReasons: z.array(z.string()),
    riskReason: z.string().nullable().describe('why a person set another risk'),
    conflicts: z.array(
      z.object({ with: z.string(), target: z.string(), title: z.string(), from: at, to: at }),
    ),
    conflictsAccepted: z.string().nullable(),
    revision: z.number().int(),
    digest: z.string().describe('of all that an approval binds to'),
    approvals: z.object({
      levels: z.array(
        z.object({
          name: z.string(),
          seats: z.array(z.object({ groups: z.array(z.string()), filledBy: z.string().nullable() })),
          missing: z.array(z.string()),
        }),
      ),
      complete: z.boolean(),
      given: z.array(z.string()),
      expiresAt: maybeAt,
    }),
    review: z
      .object({ dueAt: at, overdue: z.boolean() })
      .nullable()
      .describe('the review that an emergency change, or one that passed a window by an override, waits for'),
    changes: z
      .array(z.object({ field: z.string(), before: z.unknown(), after: z.unknown() }))
      .describe('what differs from the submission before'),
    overrides: z.array(overrideView),
    decisions: z.array(
      z.object({
        id: z.string(),
        approver: z.string(),
        decision: z.enum(['approve', 'reject', 'withdraw', 'review']),
        submission: z.number().int(),
        comment: z.string().nullable(),
        counted: z.boolean().describe('false: recorded as refused'),
        refusal: z.string().nullable(),
        at,
      }),
    ),
    unheard: z
      .array(
        z.object({
          approver: z.string(),
          decision: z.enum(['approve', 'reject', 'withdraw', 'review']),
          comment: z.string().nullable(),
          saidAt: at,
          outcome: z.string().describe('what it waits for, in plain words'),
        }),
      )
      .describe('decisions that were accepted and are not recorded yet'),
    accepted,
    ...versioned,
  })
  .meta({ id: 'ChangeRequest' });
const html = z.string().describe('the same as HTML that is safe to show');
export const changeRequestDetail = changeRequestView
  .extend({ descriptionHtml: html, rollbackPlanHtml: html, backupPlanHtml: html })
  .meta({ id: 'ChangeRequestDetail' });

export const needsQuery = strict({ limit: wholeNumberText(1, 200).default(50) });
const needView = z.object({
  kind: z.enum(needKinds),
  key: z.string().describe('what it is about: CP-7.1, RFC-7, or the number of an override'),
  promotion: z.string(),
  changeRequest: z.string(),
  target: z.string(),
  title: z.string(),
  emergency: z.boolean(),
  by: z.string().describe('who shipped, asked or started it'),
  since: at,
  dueAt: maybeAt,
  asks: z
    .string()
    .nullable()
    .describe('of a decision, what its level still needs; of an override, the window; else null'),
});
export const needsView = z
  .object({
    items: z.array(needView).describe('the most urgent first; emergencies first, then what waits longest'),
    counts: z.record(z.enum(needKinds), z.number().int()).describe('how many there are of each'),
    total: z.number().int(),
  })
  .meta({ id: 'Needs' });
export type NeedsView = z.infer<typeof needsView>;
const deploymentStatus = z.enum(statesOf('deployment'));
export const deploymentsQuery = strict({
  ...listQuery.shape,
  status: z
    .union([deploymentStatus, z.array(deploymentStatus)])
    .transform((value) => (Array.isArray(value) ? value : [value]))
    .optional()
    .describe('several: any of them'),
});

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
      .describe(
        'the promotion whose release it runs, as it was last seen while a rollback has failed; null: none that the record knows',
      ),
    observed: z
      .object({ what: z.string(), at: at.nullable(), why: z.string() })
      .nullable()
      .describe('what was last seen live, in plain words, where the record vouches for none of its releases'),
    lane: z.string().nullable().describe('key of the attempt that holds the lane'),
    fence: z.number().int(),
    window: windowStatusView.describe('for a normal change of medium risk'),
    health: z
      .object({ healthy: z.boolean(), detail: z.string(), at })
      .nullable()
      .describe('what the last check of this target found; null: it was never checked'),
    lastDeployment: z
      .object({ key: z.string(), status: z.enum(statesOf('deployment')), finishedAt: at })
      .nullable()
      .describe('the last attempt that touched the lane and has ended'),
    runners: z
      .array(z.object({ id: z.string(), host: z.string(), version: z.string(), seenAt: at }))
      .nullable()
      .describe('on its own host, the one heard of last first; null: the workers do its steps'),
    sandboxes: z
      .array(z.object({ host: z.string(), kind: z.enum(sandboxKinds), said: z.string() }))
      .describe('what each host that does its steps keeps its builds in, as its worker or runner says'),
    expectedMs: z
      .record(z.string(), z.number())
      .describe('how long each step took lately: the median of its last 20 runs that ended well'),
  })
  .meta({ id: 'Target' });

export const logLine = z
  .object({ seq: z.number().int(), at, step: z.string(), stream: z.string(), text: z.string() })
  .meta({ id: 'LogLine' });

export const historyQuery = strict({
  run: z.string().max(100).optional().describe('id of the run; left out: the latest'),
});
export const historyView = z
  .object({
    runs: z
      .array(
        z.object({
          workflowId: z.string(),
          runId: z.string(),
          keptAt: maybeAt.describe('when Signalbox kept it; null: read from Temporal now'),
          none: z.string().nullable().describe('why there is none, in plain words'),
          events: z.array(z.object({ id: z.number().int(), at, text: z.string() })),
        }),
      )
      .describe('of its workflow, and of each that recovered it, in order'),
  })
  .meta({ id: 'History' });
export type HistoryView = z.infer<typeof historyView>;

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
      .describe('as whom a session of the embedded mode may act, by the header Signalbox-As'),
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
  expiresAt: instant.nullable().describe('null: it does not run out'),
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
export const linkBody = strict({
  subject: line(1000).describe(
    'issuer and subject, as the refused sign-in says them: "https://idp.example 1234"',
  ),
  reason: reason.optional(),
}).meta({ id: 'Link' });
export const sessionView = z.object({ person: z.string() }).meta({ id: 'Session' });

export const auditQuery = strict({
  limit: wholeNumberText(1, 200).default(50),
  cursor: z.string().max(200).optional(),
  actor: line(200).optional(),
  action: line(100).optional().describe('an action or how it begins, such as "deployment."'),
  subject: line(200).overwrite(asRecorded).optional().describe('a key, such as CP-7.1'),
  request: line(100).optional(),
  from: instant.optional(),
  to: instant.optional(),
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
export type ChangeRequestDetail = z.infer<typeof changeRequestDetail>;
export type TargetView = z.infer<typeof targetView>;
export type StepView = z.infer<typeof stepView>;
export type LogLine = z.infer<typeof logLine>;
