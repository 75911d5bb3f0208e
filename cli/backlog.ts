import { readFileSync, writeFileSync } from 'node:fs';
import type { EpicView, ImportReport, ItemView } from '../domain/backlog/schemas';
import { ApiProblem } from './client';
import { table, type Context } from './commands';
import { exitCodes } from './exit-codes';
import { sentences } from '../domain/sentences';

/** `signalbox item ...`, `epic ...` and `wip ...`. */
interface Filter {
  epic?: string;
  status?: string[];
  priority?: string[];
  owner?: string[];
  label?: string[];
  blocked?: boolean;
  overdue?: boolean;
  dueBefore?: string;
  search?: string;
}
/** `false` where --no-... takes it away. */
interface Fields {
  title?: string;
  description?: string;
  priority?: string;
  epic?: string | boolean;
  owner?: string | boolean;
  due?: string | boolean;
  label?: string[];
  reason?: string;
}

function queryOf(o: Filter): URLSearchParams {
  const query = new URLSearchParams();
  if (o.epic) query.set('epic', o.epic);
  for (const name of ['status', 'priority', 'owner', 'label'] as const)
    for (const value of o[name] ?? []) query.append(name, value);
  if (o.blocked) query.set('blocked', 'true');
  if (o.overdue) query.set('overdue', 'true');
  if (o.dueBefore) query.set('dueBefore', o.dueBefore);
  if (o.search) query.set('q', o.search);
  return query;
}
/** `true` is what commander makes of a --no-... that was not given. */
const nullable = (name: string, value: string | boolean | undefined) =>
  typeof value === 'string' ? { [name]: value } : value === false ? { [name]: null } : {};
const given = (fields: object) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
const fieldsOf = (o: Fields) => ({
  ...given({
    title: o.title,
    description: o.description,
    priority: o.priority,
    labels: o.label,
    reason: o.reason,
  }),
  ...nullable('epic', o.epic),
  ...nullable('owner', o.owner),
  ...nullable('dueDate', o.due),
});
const reasonOf = ({ reason }: { reason?: string }) => given({ reason });

const inWords = (item: ItemView) =>
  `${item.key} "${item.title}" is ${item.status}${item.blocked ? ', blocked' : ''}.`;

export async function addItem(
  { client, show, as }: Context,
  title: string,
  options: Fields & { start: boolean },
): Promise<number> {
  await as('contributor');
  const item = await client.backlog.addItem({
    ...fieldsOf(options),
    title,
    ...(options.start ? { status: 'in-progress' } : {}),
  });
  show(item, inWords(item));
  return exitCodes.done;
}

export async function listItems(
  { client, say, json }: Context,
  options: Filter & { sort: string; limit: number },
): Promise<number> {
  const filter = queryOf(options);
  const items: ItemView[] = [];
  for (let cursor: string | null = ''; cursor !== null && items.length < options.limit;) {
    const query = new URLSearchParams(filter);
    query.set('sort', options.sort);
    query.set('limit', String(Math.min(200, options.limit - items.length)));
    if (cursor) query.set('cursor', cursor);
    const page = await client.backlog.items(query);
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  const totals = await client.backlog.totals(filter);
  if (json) console.log(JSON.stringify({ items, totals }));
  else {
    say(itemTable(items));
    const more = totals.total > items.length ? `, ${items.length} shown; see more with --limit` : '';
    say(
      `${totals.total} in all${more}: ${counts(totals.byStatus)}; ${totals.blocked} blocked, ${totals.overdue} overdue.`,
    );
  }
  return exitCodes.done;
}
const counts = (by: Record<string, number>) =>
  Object.entries(by)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
const itemTable = (items: ItemView[]) =>
  table(
    ['item', 'title', 'status', 'priority', 'owner', 'epic', 'due', 'blocked by', 'runs on'],
    items.map((i) => [
      i.key,
      i.title,
      i.status,
      i.priority,
      i.owner ?? '',
      i.epic ?? '',
      i.dueDate ? `${i.dueDate}${i.overdue ? ' (overdue)' : ''}` : '',
      i.blockers
        .filter(({ resolvedAt }) => resolvedAt === null)
        .map(({ blockedBy, reason }) => blockedBy ?? reason)
        .join(', '),
      i.runsOn.join(', '),
    ]),
  );

export async function showItem({ client, show, say, json }: Context, key: string): Promise<number> {
  const item = await client.backlog.item(key);
  show(item, inWords(item));
  if (json) return exitCodes.done;
  say(
    `Priority ${item.priority}, owner ${item.owner ?? 'nobody'}, epic ${item.epic ?? 'none'}, due ${item.dueDate ?? 'never'}${item.overdue ? ' (overdue)' : ''}${item.labels.length > 0 ? `, labels ${item.labels.join(', ')}` : ''}. Version ${item.version}.`,
  );
  for (const b of item.blockers)
    say(
      `Blocker ${b.id}: ${b.blockedBy ?? 'outside'}, "${b.reason}", raised by ${b.raisedBy} on ${b.raisedAt}; ${b.resolvedAt ? `resolved by ${b.resolvedBy}: ${b.resolution}` : 'open'}.`,
    );
  for (const p of item.promotions) say(`Carried by ${p.key} "${p.title}" to ${p.target}: ${p.status}.`);
  if (item.runsOn.length > 0) say(`Runs on ${item.runsOn.join(', ')}.`);
  if (item.leadTimeMs !== null)
    say(
      `Lead time ${duration(item.leadTimeMs)}${item.cycleTimeMs === null ? '' : `, cycle time ${duration(item.cycleTimeMs)}`}.`,
    );
  if (item.description) say(`\n${item.description}`);
  return exitCodes.done;
}
function duration(ms: number): string {
  const hours = ms / 3_600_000;
  return hours >= 48
    ? `${Math.round(hours / 24)} d`
    : hours >= 1
      ? `${Math.round(hours)} h`
      : `${Math.round(ms / 60_000)} min`;
}

export async function editItem(
  { client, show, as }: Context,
  key: string,
  options: Fields & { ifVersion?: number },
): Promise<number> {
  await as('contributor');
  const item = await client.backlog.editItem(key, fieldsOf(options), options.ifVersion);
  show(item, inWords(item));
  return exitCodes.done;
}

export async function setItems(
  { client, say, json, as }: Context,
  keys: string[],
  options: Fields & { to?: string; addLabel?: string[]; removeLabel?: string[] },
): Promise<number> {
  await as('contributor');
  const { reason, ...fields } = fieldsOf(options) as { reason?: string };
  const changed = await client.backlog.editItems({
    items: keys.map((key) => ({ key })),
    set: {
      ...fields,
      ...given({ status: options.to, addLabels: options.addLabel, removeLabels: options.removeLabel }),
    },
    ...given({ reason }),
  });
  if (json) console.log(JSON.stringify(changed));
  else say(itemTable(changed.items));
  return exitCodes.done;
}

export async function moveItem(
  { client, show, say, as }: Context,
  key: string,
  { to, before, after, reason }: { to?: string; before?: string; after?: string; reason?: string },
): Promise<number> {
  if (!to && !before && !after) {
    say('Say where to: --to a status, or --before or --after another item.');
    return exitCodes.usage;
  }
  await as('contributor');
  let item: ItemView | undefined;
  if (to) item = await client.backlog.editItem(key, { status: to, ...given({ reason }) });
  if (before || after) item = await client.backlog.rank(key, given({ before, after }));
  show(item!, inWords(item!));
  return exitCodes.done;
}

export async function blockItem(
  { client, show, as }: Context,
  key: string,
  { by, reason }: { by?: string; reason: string },
): Promise<number> {
  await as('contributor');
  const blocker = await client.backlog.block(key, { reason, ...given({ blockedBy: by }) });
  show(
    blocker,
    sentences(
      `${key} is blocked by ${by ?? 'something outside'}: ${reason}`,
      `Resolve it with "npx signalbox item unblock ${blocker.id} --resolution ..."`,
    ),
  );
  return exitCodes.done;
}

export async function unblock(
  { client, show, as }: Context,
  id: string,
  { resolution }: { resolution: string },
): Promise<number> {
  await as('contributor');
  const blocker = await client.backlog.resolve(id, { resolution });
  show(blocker, `Blocker ${blocker.id} of ${blocker.item} is resolved: ${resolution}.`);
  return exitCodes.done;
}

export async function listBlocked({ client, say, json }: Context): Promise<number> {
  const blocked = await client.backlog.blocked();
  if (json) {
    console.log(JSON.stringify(blocked));
    return exitCodes.done;
  }
  if (blocked.items.length === 0) {
    say('Nothing is blocked.');
    return exitCodes.done;
  }
  say(
    table(
      ['blocker', 'item', 'title', 'blocked by', 'why', 'for', 'owner'],
      blocked.items.map((b) => [
        String(b.id),
        b.item,
        b.title,
        b.blockedBy ?? 'outside',
        b.reason,
        duration(b.blockedForMs),
        b.owner ?? '',
      ]),
    ),
  );
  for (const root of blocked.roots.slice(0, 5))
    say(
      `${root.item ?? `Blocker ${root.blocker}`} "${root.title}" holds ${root.holds.length}; resolving it frees ${root.frees.length > 0 ? root.frees.join(', ') : 'nothing by itself'}.`,
    );
  return exitCodes.done;
}

export async function history({ client, say, json }: Context, key: string): Promise<number> {
  const { items } = await client.backlog.history(key);
  if (json) console.log(JSON.stringify({ items }));
  else
    for (const { at, actor, action, before, after, why } of items.reverse()) {
      const { version: _version, ...fields } = (after ?? {}) as Record<string, unknown>;
      const was = before as Record<string, unknown> | null;
      const changes = was
        ? Object.entries(fields).map(
            ([name, value]) => `${name}: ${JSON.stringify(was[name])} -> ${JSON.stringify(value)}`,
          )
        : [];
      say(
        [at, actor, action, changes.join(', '), why ? `(${why})` : '']
          .filter((part) => part !== '')
          .join('  '),
      );
    }
  return exitCodes.done;
}

export async function removeItem(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('contributor');
  const item = await client.backlog.removeItem(key, reasonOf(options));
  show(item, `${item.key} "${item.title}" is removed.`);
  return exitCodes.done;
}

export async function importFile(
  { client, say, json, as }: Context,
  file: string,
  options: { map?: string; dryRun: boolean; reason?: string },
): Promise<number> {
  await as('contributor');
  const body = {
    format: file.toLowerCase().endsWith('.json') ? 'json' : 'csv',
    content: textOf(file),
    dryRun: options.dryRun,
    ...(options.map ? { mapping: (await import('yaml')).parse(textOf(options.map)) as object } : {}),
    ...reasonOf(options),
  };
  try {
    const report = await client.backlog.importItems(body);
    if (json) console.log(JSON.stringify(report));
    else {
      if (report.dryRun) sayLines(report.lines, say);
      if (report.ignoredColumns.length > 0)
        say(`Columns that are no field: ${report.ignoredColumns.join(', ')}.`);
      say(
        `${report.dryRun ? 'Nothing was written. It would be' : 'Imported'}: ${report.created} created, ${report.updated} updated, ${report.unchanged} unchanged${report.refused > 0 ? `, ${report.refused} refused, so that nothing would be imported` : ''}.`,
      );
    }
    return report.refused > 0 ? exitCodes.refused : exitCodes.done;
  } catch (thrown) {
    if (json || !(thrown instanceof ApiProblem) || thrown.problem.code !== 'import-refused') throw thrown;
    sayLines(thrown.problem.lines as ImportReport['lines'], say);
    throw thrown;
  }
}
const sayLines = (lines: ImportReport['lines'], say: Context['say']) =>
  lines.forEach(({ line, action, key, title, says }) =>
    say(
      `line ${line}: ${action} ${[key, title && `"${title}"`].filter(Boolean).join(' ')}${says.length > 0 ? `: ${says.join('; ')}` : ''}`,
    ),
  );
function textOf(file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (thrown) {
    if (thrown instanceof TypeError) throw new Error(`${file} is not UTF-8; save it as UTF-8 and try again.`);
    throw new Error(`${file} could not be read: ${(thrown as Error).message}`);
  }
}

export async function exportItems(
  { client, say, json }: Context,
  options: Filter & { output?: string },
): Promise<number> {
  const text = await client.backlog.exported(queryOf(options));
  if (!options.output) process.stdout.write(text);
  else {
    writeFileSync(options.output, text);
    if (json) console.log(JSON.stringify({ output: options.output }));
    else say(`Written into ${options.output}.`);
  }
  return exitCodes.done;
}

interface EpicOptions {
  title?: string;
  outcome?: string;
  owner?: string;
  target?: string;
}
const epicFields = (o: EpicOptions) =>
  given({ title: o.title, outcome: o.outcome, owner: o.owner, targetDate: o.target });
const epicInWords = ({ key, title, status, overdue, progress }: EpicView) =>
  `${key} "${title}" is ${status}${overdue ? ', overdue' : ''}: ${progress.done} of ${progress.total} done (${progress.percent} %), ${progress.blocked} blocked, ${progress.overdue} overdue.`;

export async function addEpic(
  { client, show, as }: Context,
  title: string,
  options: EpicOptions,
): Promise<number> {
  await as('contributor');
  const epic = await client.backlog.addEpic({ ...epicFields(options), title });
  show(epic, epicInWords(epic));
  return exitCodes.done;
}
export async function listEpics(
  { client, say, json }: Context,
  { status, owner }: { status?: string; owner?: string },
): Promise<number> {
  const page = await client.backlog.epics(new URLSearchParams({ limit: '200', ...given({ status, owner }) }));
  if (json) console.log(JSON.stringify(page));
  else
    say(
      table(
        ['epic', 'title', 'status', 'done', 'blocked', 'overdue', 'owner', 'target'],
        page.items.map((e) => [
          e.key,
          e.title,
          e.status,
          `${e.progress.done}/${e.progress.total} (${e.progress.percent} %)`,
          String(e.progress.blocked),
          String(e.progress.overdue),
          e.owner ?? '',
          e.targetDate ? `${e.targetDate}${e.overdue ? ' (overdue)' : ''}` : '',
        ]),
      ),
    );
  return exitCodes.done;
}
export async function showEpic({ client, show }: Context, key: string): Promise<number> {
  const epic = await client.backlog.epic(key);
  show(epic, `${epicInWords(epic)}${epic.outcome ? `\n${epic.outcome}` : ''}`);
  return exitCodes.done;
}
export async function editEpic(
  { client, show, as }: Context,
  key: string,
  options: EpicOptions,
): Promise<number> {
  await as('contributor');
  const epic = await client.backlog.editEpic(key, epicFields(options));
  show(epic, epicInWords(epic));
  return exitCodes.done;
}
export async function removeEpic(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('contributor');
  const epic = await client.backlog.removeEpic(key, reasonOf(options));
  show(epic, `${epic.key} "${epic.title}" is removed.`);
  return exitCodes.done;
}

export async function showWip({ client, say, json }: Context): Promise<number> {
  const wip = await client.backlog.wipLimits();
  if (json) console.log(JSON.stringify(wip));
  else if (wip.limits.length === 0)
    say('There is no limit on work in progress; set one with "npx signalbox wip set board=5".');
  else
    say(
      table(
        ['scope', 'in progress', 'limit', '', 'held by'],
        wip.limits.map((l) => [
          l.scope,
          String(l.inProgress),
          String(l.limit),
          l.over ? 'over the limit' : l.inProgress === l.limit ? 'full' : '',
          l.holders.map(({ item, owner }) => `${item} (${owner ?? 'nobody'})`).join(', '),
        ]),
      ),
    );
  return exitCodes.done;
}

export interface LimitChange {
  scope: string;
  /** Null: no limit any more. */
  limit: number | null;
}
export async function setWip(
  context: Context,
  changes: LimitChange[],
  options: { reason?: string },
): Promise<number> {
  const { client, as } = context;
  await as('admin');
  const now = await client.backlog.wipLimits();
  const limits = new Map(now.limits.map(({ scope, limit }) => [scope, limit]));
  for (const { scope, limit } of changes)
    if (limit === null) limits.delete(scope);
    else limits.set(scope, limit);
  await client.backlog.setWipLimits(
    { limits: [...limits].map(([scope, limit]) => ({ scope, limit })), ...reasonOf(options) },
    now.version,
  );
  return showWip(context);
}
