import { insteadOf } from '../domain/nearest';
import type { WindowView } from '../domain/schemas';
import type { Client } from './client';
import { table, type Context } from './commands';
import { exitCodes } from './exit-codes';
import { sentences } from '../domain/sentences';

/** `signalbox window ...`: windows and freezes, whether a target is open, overrides; and the calendar. */
interface WindowOptions {
  name?: string;
  target?: string;
  environment?: string;
  start?: string;
  zone?: string;
  minutes?: number;
  rrule?: string;
  except?: string[];
  until?: string;
  type?: string[];
  risk?: string[];
  reason?: string;
}
const fieldsOf = (o: WindowOptions): object => ({
  ...(o.name ? { name: o.name } : {}),
  ...(o.target || o.environment
    ? {
        scope: {
          ...(o.target ? { target: o.target } : {}),
          ...(o.environment ? { environment: o.environment } : {}),
        },
      }
    : {}),
  ...(o.start ? { start: o.start } : {}),
  ...(o.zone ? { timeZone: o.zone } : {}),
  ...(o.minutes ? { durationMinutes: o.minutes } : {}),
  ...(o.rrule ? { rrule: o.rrule } : {}),
  ...(o.except ? { exceptDates: o.except } : {}),
  ...(o.until ? { until: o.until } : {}),
  ...(o.type ? { changeTypes: o.type } : {}),
  ...(o.risk ? { risks: o.risk } : {}),
  ...(o.reason ? { reason: o.reason } : {}),
});
const whole = (kind: string, name: string, o: WindowOptions) => ({
  timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  ...fieldsOf({ ...o, name }),
  kind,
});

/** A window by its number or its name. */
async function find(client: Client, which: string): Promise<WindowView> {
  const { items } = await client.windows();
  const found = items.find(({ id, name }) => String(id) === which || name === which);
  if (!found)
    throw new Error(
      `There is no window "${which}". ${insteadOf(
        which,
        items.map(({ id, name }) => `${id} ${name}`),
      )}`,
    );
  return found;
}
const inWords = (w: WindowView) =>
  `${w.kind} "${w.name}": ${w.scope.target ?? w.scope.environment ?? 'every target'}, from ${w.start} ${w.timeZone} for ${w.durationMinutes} min${w.rrule ? `, ${w.rrule}` : ''}`;

export async function addWindow(
  { client, show, as }: Context,
  kind: string,
  name: string,
  options: WindowOptions,
): Promise<number> {
  await as('release-manager');
  const made = await client.addWindow(whole(kind, name, options));
  show(made, `Window ${made.id}: ${inWords(made)}.`);
  return exitCodes.done;
}

export async function editWindow(
  { client, show, as }: Context,
  which: string,
  options: WindowOptions,
): Promise<number> {
  await as('release-manager');
  const changed = await client.changeWindow(await find(client, which), fieldsOf(options));
  show(changed, `Window ${changed.id}: ${inWords(changed)}. Whoever waits for a window looks again.`);
  return exitCodes.done;
}

export async function removeWindow(
  { client, show, as }: Context,
  which: string,
  options: { reason?: string },
): Promise<number> {
  await as('release-manager');
  const removed = await client.removeWindow(
    await find(client, which),
    options.reason ? { reason: options.reason } : {},
  );
  show(removed, `Window ${removed.id} "${removed.name}" is removed. Whoever waits for a window looks again.`);
  return exitCodes.done;
}

export async function listWindows({ client, json, say }: Context): Promise<number> {
  const { items } = await client.windows();
  if (json) console.log(JSON.stringify({ items }));
  else
    say(
      table(
        ['number', 'kind', 'name', 'for', 'begins', 'minutes', 'recurs', 'reason'],
        items.map((w) => [
          String(w.id),
          w.kind,
          w.name,
          w.scope.target ?? w.scope.environment ?? 'every target',
          `${w.start} ${w.timeZone}`,
          String(w.durationMinutes),
          w.rrule ?? 'once',
          w.reason ?? '',
        ]),
      ),
    );
  return exitCodes.done;
}

export async function windowStatus(
  { client, show }: Context,
  which: string,
  options: { at?: string },
): Promise<number> {
  const status = await client.windowStatus({
    ...(/^CP-/i.test(which) ? { promotion: which } : { target: which }),
    ...(options.at ? { at: options.at } : {}),
  });
  const next = status.open
    ? status.nextClose && `It closes ${status.nextClose}`
    : status.nextOpen
      ? `It opens ${status.nextOpen}`
      : 'No window opens within a year';
  show(
    status,
    sentences(`${which} is ${status.open ? 'open' : 'closed'}: ${status.reason}`, next, status.warning),
  );
  return status.open ? exitCodes.done : exitCodes.refused;
}

export async function previewWindow(
  { client, show }: Context,
  kind: string,
  name: string,
  options: WindowOptions,
): Promise<number> {
  const preview = await client.previewWindow(whole(kind, name, options));
  const held = preview.holds.map((h) => `  ${h.key} ${h.title} on ${h.target} (${h.status}): ${h.after}`);
  show(
    preview,
    [
      `"${name}" would begin ${
        preview.occurrences
          .map(({ start }) => start)
          .slice(0, 3)
          .join(', ') || 'never within a year'
      }${preview.occurrences.length > 3 ? ', ...' : ''}.`,
      held.length === 0 ? 'It would hold nothing.' : `It would hold ${held.length}:`,
      ...held,
    ].join('\n'),
  );
  return exitCodes.done;
}

export async function override(
  { client, show, as }: Context,
  which: string,
  promotion: string,
  options: { reason: string; hours: number },
): Promise<number> {
  await as('release-manager');
  // eslint-disable-next-line no-restricted-properties -- what the person at this terminal calls now
  const expiresAt = new Date(Date.now() + options.hours * 3_600_000).toISOString();
  const asked = await client.override(await find(client, which), {
    promotion,
    reason: options.reason,
    expiresAt,
  });
  show(
    asked,
    `Override ${asked.id} of "${asked.window.name}" for ${promotion} is asked for, until ${asked.expiresAt}. It counts once a second release manager agrees: "npx signalbox window second ${asked.id}".`,
  );
  return exitCodes.done;
}

export async function second({ client, show, as }: Context, id: string): Promise<number> {
  await as('release-manager');
  const agreed = await client.second(id);
  show(
    agreed,
    `"${agreed.window.name}" is overridden for ${agreed.promotion} until ${agreed.expiresAt}. It has to be reviewed afterwards.`,
  );
  return exitCodes.done;
}

export async function revokeOverride(
  { client, show, as }: Context,
  id: string,
  options: { reason?: string },
): Promise<number> {
  await as('release-manager');
  const revoked = await client.revokeOverride(id, options.reason ? { reason: options.reason } : {});
  show(revoked, `Override ${revoked.id} is revoked; "${revoked.window.name}" counts again.`);
  return exitCodes.done;
}

export async function calendar({ client, json, say }: Context, options: { days: number }): Promise<number> {
  const from = new Date();
  const to = new Date(from.getTime() + options.days * 86_400_000);
  const found = await client.calendar(from.toISOString(), to.toISOString());
  if (json) {
    console.log(JSON.stringify(found));
    return exitCodes.done;
  }
  const rows = [
    ...found.windows.map((w) => [w.from, w.to, w.kind === 'freeze' ? 'freeze' : 'window', w.name, w.scope]),
    ...found.deployments.map((d) => [d.from, d.to, d.status, `${d.key} ${d.title}`, `target ${d.target}`]),
    ...found.planned.map((p) => [
      p.from,
      p.to,
      `planned (${p.status})`,
      `${p.key} ${p.title}`,
      `target ${p.target}`,
    ]),
  ].sort(([a], [b]) => (a! < b! ? -1 : 1));
  say(table(['from', 'to', 'what', 'name', 'for'], rows));
  return exitCodes.done;
}

export async function calendarFeed({ client, show }: Context, options: { label: string }): Promise<number> {
  const feed = await client.calendarFeed(options.label);
  show(
    feed,
    `Subscribe your calendar to this address; it is shown this once, and whoever has it reads the calendar:\n${feed.url}`,
  );
  return exitCodes.done;
}
