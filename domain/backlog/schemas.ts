import { z } from 'zod';
import { priorities, statesOf } from '../machines';
import { day, line, paragraph, reason, sought, wholeNumber, wholeNumberText } from '../input';
import { at, versioned } from '../schemas';
import { sorts } from './item';
import { strict } from '../strict';

/** What the API takes and answers of the backlog. */
const key = (prefix: 'ITEM' | 'EPIC', example: string) =>
  z
    .string()
    .toUpperCase()
    .regex(new RegExp(`^${prefix}-[1-9][0-9]{0,8}$`), `allowed: keys such as ${example}`);
const itemKey = key('ITEM', 'ITEM-12');
const epicKey = key('EPIC', 'EPIC-3');
const label = line(60).refine((value) => !/[,;]/.test(value), 'must not contain comma or semicolon');
const labels = z
  .array(label)
  .max(50)
  .transform((all) => [...new Set(all)]);
const status = z.enum(statesOf('backlogItem'));
const priority = z.enum(priorities);
const owner = line(200);

const fields = {
  title: line(200),
  description: z.union([z.literal(''), paragraph]).describe('Markdown'),
  priority,
  epic: epicKey.nullable(),
  owner: owner.nullable(),
  dueDate: day.nullable(),
  labels,
};
export const newItemBody = strict({
  title: fields.title,
  description: fields.description.default(''),
  status: z.enum(['open', 'in-progress']).default('open'),
  priority: priority.default('medium'),
  epic: fields.epic.default(null),
  owner: fields.owner.default(null),
  dueDate: fields.dueDate.default(null),
  labels: labels.default([]),
  reason: reason.optional(),
}).meta({ id: 'NewBacklogItem' });
/** What is left out stays; null takes it away. */
export const editItemBody = strict({
  title: fields.title.optional(),
  description: fields.description.optional(),
  status: status.optional(),
  priority: priority.optional(),
  epic: fields.epic.optional(),
  owner: fields.owner.optional(),
  dueDate: fields.dueDate.optional(),
  labels: labels.optional(),
  reason: reason.optional().describe('needed to reopen and to defer'),
}).meta({ id: 'EditBacklogItem' });

export const rankBody = strict({ before: itemKey.optional(), after: itemKey.optional() })
  .refine((body) => (body.before === undefined) !== (body.after === undefined), {
    error: 'give either before or after',
  })
  .meta({ id: 'Rank' });

export const bulkBody = strict({
  items: z
    .array(strict({ key: itemKey, version: wholeNumber(1).optional() }))
    .min(1)
    .max(500)
    .describe('with a version: only if it still is at that one'),
  set: strict({
    status: status.optional(),
    priority: priority.optional(),
    epic: fields.epic.optional(),
    owner: fields.owner.optional(),
    dueDate: fields.dueDate.optional(),
    addLabels: labels.optional(),
    removeLabels: labels.optional(),
  }),
  reason: reason.optional(),
}).meta({ id: 'EditBacklogItems' });

const several = <T extends z.ZodType>(one: T) =>
  z
    .union([one, z.array(one)])
    .transform((value) => (Array.isArray(value) ? value : [value]) as z.output<T>[])
    .optional();
const flag = z
  .enum(['true', 'false'], 'allowed: true or false')
  .transform((value) => value === 'true')
  .optional();
const filter = {
  epic: z
    .union([epicKey, z.literal('none')], 'allowed: a key such as EPIC-3, or none')
    .optional()
    .describe('EPIC-3, or none'),
  status: several(status).describe('several: any of them'),
  priority: several(priority).describe('several: any of them'),
  owner: several(owner).describe('several: any of them; none: nobody'),
  blocked: flag,
  overdue: flag,
  dueBefore: day.optional(),
  label: several(label).describe('several: all of them'),
  q: sought,
};
export const filterQuery = strict(filter);
export const itemsQuery = strict({
  ...filter,
  sort: z.enum(sorts, `allowed: ${sorts.join(', ')}`).default('rank'),
  limit: wholeNumberText(1, 200).default(50),
  cursor: z.string().max(1000).optional(),
  skip: wholeNumberText(0, 10_000_000)
    .default(0)
    .describe('how many to leave out: for a view that is scrolled anywhere; whoever reads all uses cursor'),
});
export type ItemFilter = z.output<typeof filterQuery>;
export type ItemsQuery = z.output<typeof itemsQuery>;

export const newBlockerBody = strict({
  blockedBy: itemKey.optional().describe('left out: something outside of the backlog'),
  reason,
}).meta({ id: 'NewBlocker' });
export const resolveBlockerBody = strict({ resolution: reason }).meta({ id: 'ResolveBlocker' });

export const newEpicBody = strict({
  title: line(200),
  outcome: z.union([z.literal(''), paragraph]).default(''),
  owner: owner.nullable().default(null),
  targetDate: day.nullable().default(null),
}).meta({ id: 'NewEpic' });
export const editEpicBody = strict({
  title: line(200).optional(),
  outcome: z.union([z.literal(''), paragraph]).optional(),
  owner: owner.nullable().optional(),
  targetDate: day.nullable().optional(),
  reason: reason.optional(),
}).meta({ id: 'EditEpic' });
export const epicStatuses = ['open', 'in-progress', 'done'] as const;
export const epicsQuery = strict({
  status: z.enum(epicStatuses).optional(),
  owner: owner.optional(),
  limit: wholeNumberText(1, 200).default(50),
  cursor: z.string().max(200).optional(),
});

export const wipLimitsBody = strict({
  limits: z
    .array(
      strict({
        scope: z
          .string()
          .max(210)
          .refine((scope) => scopeForm(scope), 'allowed: board, owner:<name> or epic:EPIC-3'),
        limit: wholeNumber(0, 1_000_000),
      }),
    )
    .max(1000)
    .refine((all) => new Set(all.map(({ scope }) => scope)).size === all.length, 'each scope once'),
  reason: reason.optional(),
}).meta({ id: 'WipLimits' });
const scopeForm = (scope: string) =>
  scope === 'board' ||
  (scope.startsWith('owner:') && owner.safeParse(scope.slice(6)).data === scope.slice(6)) ||
  (scope.startsWith('epic:') && epicKey.safeParse(scope.slice(5)).success);

export const importBody = strict({
  format: z.enum(['csv', 'json']),
  content: z.string().max(16_000_000).describe('the file as text'),
  mapping: strict({
    columns: z
      .record(z.string().max(200), z.string().max(40))
      .optional()
      .describe('column of the file -> field; left out: columns that are named as the fields'),
    values: strict({
      status: z.record(z.string().max(200), status).optional(),
      priority: z.record(z.string().max(200), priority).optional(),
    }).optional(),
  }).default({}),
  dryRun: z.boolean().default(false),
  reason: reason.optional(),
}).meta({ id: 'ImportBacklogItems' });
export type Mapping = z.output<typeof importBody>['mapping'];

/** One line of an import, once its texts are fields. What is undefined stays as it is. */
export const importedItem = strict({
  key: itemKey.optional(),
  externalId: line(200).optional(),
  title: line(200).optional(),
  description: z.union([z.literal(''), paragraph]).optional(),
  status: status.optional(),
  priority: priority.optional(),
  epic: fields.epic.optional(),
  owner: fields.owner.optional(),
  dueDate: fields.dueDate.optional(),
  labels: labels.optional(),
});
export type ImportedItem = z.output<typeof importedItem>;

export const blockerView = z
  .object({
    id: z.number().int(),
    item: z.string(),
    kind: z.enum(['item', 'external']),
    blockedBy: z.string().nullable().describe('the item that blocks; null: something outside'),
    reason: z.string(),
    raisedBy: z.string(),
    raisedAt: at,
    resolvedAt: at.nullable(),
    resolvedBy: z.string().nullable(),
    resolution: z.string().nullable(),
  })
  .meta({ id: 'Blocker' });
export type BlockerView = z.infer<typeof blockerView>;

export const itemView = z
  .object({
    key: z.string().meta({ example: 'ITEM-12' }),
    title: z.string(),
    description: z.string().describe('Markdown'),
    status,
    priority,
    rank: z.string().describe('sorts as text by its bytes; the first is the most important'),
    epic: z.string().nullable(),
    owner: z.string().nullable(),
    dueDate: z.string().nullable(),
    overdue: z.boolean(),
    labels: z.array(z.string()),
    blocked: z.boolean(),
    blockers: z.array(blockerView),
    promotions: z
      .array(
        z.object({
          key: z.string(),
          target: z.string(),
          title: z.string(),
          status: z.enum(statesOf('promotion')),
          attempt: z.enum(statesOf('deployment')).nullable().describe('how its latest attempt stands'),
        }),
      )
      .describe('promotions that carry it'),
    runsOn: z.array(z.string()).describe('targets on which a promotion that carries it is deployed'),
    deliveredBy: z.string().nullable().describe('the promotion whose deployment moved it to done'),
    externalId: z.string().nullable(),
    startedAt: at.nullable().describe('when work on it began first'),
    doneAt: at.nullable(),
    cycleTimeMs: z.number().nullable().describe('from the beginning of work to done'),
    leadTimeMs: z.number().nullable().describe('from its creation to done'),
    ...versioned,
  })
  .meta({ id: 'BacklogItem' });
export type ItemView = z.infer<typeof itemView>;
export const itemDetail = itemView
  .extend({ descriptionHtml: z.string().describe('the description as HTML that is safe to show') })
  .meta({ id: 'BacklogItemDetail' });

export const totalsView = z
  .object({
    total: z.number().int(),
    byStatus: z.record(z.string(), z.number().int()),
    byPriority: z.record(z.string(), z.number().int()),
    blocked: z.number().int(),
    overdue: z.number().int(),
  })
  .meta({ id: 'BacklogTotals' });
export type TotalsView = z.infer<typeof totalsView>;

export const epicView = z
  .object({
    key: z.string().meta({ example: 'EPIC-3' }),
    title: z.string(),
    outcome: z.string(),
    owner: z.string().nullable(),
    targetDate: z.string().nullable(),
    status: z.enum(epicStatuses).describe('derived from its items'),
    overdue: z.boolean().describe('its target date is over and it is not done'),
    progress: z.object({
      done: z.number().int(),
      total: z.number().int().describe('without deferred ones'),
      percent: z.number().int(),
      byStatus: z.record(z.string(), z.number().int()),
      overdue: z.number().int(),
      blocked: z.number().int(),
    }),
    ...versioned,
  })
  .meta({ id: 'Epic' });
export type EpicView = z.infer<typeof epicView>;

export const blockedView = z
  .object({
    items: z
      .array(
        blockerView.extend({ title: z.string(), owner: z.string().nullable(), blockedForMs: z.number() }),
      )
      .describe('what is blocked, by what, for how long; the oldest first'),
    roots: z
      .array(
        z.object({
          item: z.string().nullable(),
          blocker: z.number().int().nullable().describe('number of a blocker outside of the backlog'),
          title: z.string(),
          owner: z.string().nullable(),
          frees: z.array(z.string()).describe('items that wait for nothing else'),
          holds: z.array(z.string()).describe('items that wait for it, directly or through others'),
        }),
      )
      .describe('where the chains end, those that free most work first; at most 20'),
    nextCursor: z.string().nullable(),
  })
  .meta({ id: 'Blocked' });
export type BlockedView = z.infer<typeof blockedView>;

export const wipLimitsView = z
  .object({
    limits: z.array(
      z.object({
        scope: z.string(),
        limit: z.number().int(),
        inProgress: z.number().int(),
        over: z.boolean().describe('more is in progress than the limit says: nothing more begins'),
        holders: z.array(z.object({ item: z.string(), title: z.string(), owner: z.string().nullable() })),
      }),
    ),
    version: z.number().int(),
  })
  .meta({ id: 'WipLimitsInForce' });
export type WipLimitsView = z.infer<typeof wipLimitsView>;

export const importReport = z
  .object({
    dryRun: z.boolean(),
    created: z.number().int(),
    updated: z.number().int(),
    unchanged: z.number().int(),
    refused: z.number().int(),
    ignoredColumns: z.array(z.string()),
    lines: z.array(
      z.object({
        line: z.number().int().describe('of the file; of JSON: the number of the entry'),
        action: z.enum(['create', 'update', 'unchanged', 'refused']),
        key: z.string().nullable(),
        title: z.string().nullable(),
        says: z.array(z.string()).describe('what is wrong with it, or what is worth knowing'),
      }),
    ),
  })
  .meta({ id: 'ImportReport' });
export type ImportReport = z.infer<typeof importReport>;
export const bulkView = z.object({ items: z.array(itemView) }).meta({ id: 'BacklogItems' });
