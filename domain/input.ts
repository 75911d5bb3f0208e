import { z } from 'zod';
import { whyNoRevision } from './revision';

/**
 * The one place that makes what comes from outside fit for what is behind it: PostgreSQL's text, integers and dates,
 * JavaScript's, and a terminal. Every schema of the API is made of these, and each parsed request is looked through
 * once more (`whyUnfit`), so that a field that forgot them is refused, too. What people say is refused with the reason;
 * what programs print is made to fit, for it cannot be said again.
 */

/** PostgreSQL's integer. */
export const mostInteger = 2_147_483_647;
const firstYear = 1970;

/** Text holds every character but NUL, and no half of a surrogate pair. */
const whyNoText = (value: string): string | undefined =>
  value.includes('\0')
    ? 'must not contain NUL'
    : value.isWellFormed()
      ? undefined
      : 'must be well-formed Unicode';

// A title or a reason is shown in terminals too, where control characters would act.
const controls = /[\u0001-\u0008\u000b-\u001f\u007f-\u009f]/;
const whyNoLine = (value: string): string | undefined =>
  whyNoText(value) ?? (controls.test(value) ? 'must not contain control characters' : undefined);

const unless =
  <T>(why: (value: T) => string | undefined) =>
  (context: { value: T; issues: unknown[] }): void => {
    const message = why(context.value);
    if (message) context.issues.push({ code: 'custom', message, input: context.value });
  };

export const line = (max: number) =>
  z.string().trim().min(1, 'must not be empty').max(max).check(unless(whyNoLine));
/** What is looked for in a list. */
export const sought = line(200)
  .optional()
  .describe('words by their beginnings, "a phrase", -without, one or another; or a key');
export const reason = line(2000);
export const paragraph = line(20_000);
/** A tag, a branch or a commit. */
export const revision = line(200).check(
  unless((value) => {
    const why = whyNoRevision(value);
    return why && `${why}; name a tag, a branch or a commit`;
  }),
);

/** A whole number that an integer column holds. */
export const wholeNumber = (min: number, max = mostInteger) => z.number().int().min(min).max(max);
/** The same, in an address. */
export const wholeNumberText = (min: number, max = mostInteger) => z.coerce.number().int().min(min).max(max);

const whyNoYear = (value: string): string | undefined =>
  Number(value.slice(0, 4)) >= firstYear ? undefined : `allowed: a year from ${firstYear} to 9999`;
/** Whether such a day and time exists, and as it stands there. */
const whyNotInCalendar = (value: string): string | undefined => {
  const at = Date.parse(`${value.length === 10 ? `${value}T00:00` : value}Z`);
  return Number.isNaN(at) || new Date(at).toISOString().slice(0, value.length) !== value
    ? `${value} is not in the calendar`
    : whyNoYear(value);
};
/** An instant in UTC. */
export const instant = z.iso
  .datetime({ error: 'allowed: a time in UTC such as 2026-12-24T18:00:00Z', abort: true })
  .check(
    unless(whyNoYear),
    unless((value) => (Number.isNaN(Date.parse(value)) ? 'is not in the calendar' : undefined)),
  );
/** A day of the calendar. */
export const day = z.iso
  .date({ error: 'allowed: a day such as 2026-12-24', abort: true })
  .check(unless(whyNoYear));
/** A local time, to the minute. */
export const localTime = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d$/, {
    error: 'allowed: local time such as 2026-01-05T20:00',
    abort: true,
  })
  .check(unless(whyNotInCalendar));
/** A local day, or a local time. */
export const localDay = z
  .string()
  .regex(/^\d{4}-\d\d-\d\d(T\d\d:\d\d)?$/, {
    error: 'allowed: a local date or time such as 2026-12-24',
    abort: true,
  })
  .check(unless(whyNotInCalendar));

/** What a program printed, made fit to be kept. */
export const fit = (text: string): string => text.replaceAll('\0', '\u2400').toWellFormed();
/** Text that a program says. */
export const programText = (max: number, min = 0) =>
  z.string('allowed: text').min(min).max(max).overwrite(fit);

const tooMany = (most: number) => `holds more than ${most} values; send it in parts`;
/** A runner's 10,000 lines are 40,000 values; nothing else that is sent comes near. */
const mostValues = 60_000;
const mostDepth = 100;
/**
 * Why JSON holds more than anything here needs; undefined when it does not. It is asked before any of it is made: a body of
 * a million keys is small, and making the object of it, naming each and refusing it holds up everybody for seconds.
 * @param json its text; one whose bytes were read as Latin 1 does as well.
 */
export function whyTooMuch(json: string, most = mostValues): string | undefined {
  let values = 0;
  let depth = 0;
  for (let at = 0; at < json.length; at++)
    switch (json[at]) {
      case '"':
        for (at++; at < json.length && json[at] !== '"'; at++) if (json[at] === '\\') at++;
        break;
      case '{':
      case '[':
        if (++depth > mostDepth) return `is nested more than ${mostDepth} deep; send it flatter`;
        if (++values > most) return tooMany(most);
        break;
      case '}':
      case ']':
        depth--;
        break;
      case ',':
        if (++values > most) return tooMany(most);
    }
  return undefined;
}

/** Why something parsed could not be kept, with the path of what is wrong; undefined when it can. */
export function whyUnfit(value: unknown, path: string[] = []): string | undefined {
  const at = (why: string | undefined) => why && `${path.join('.') || 'the whole'}: ${why}`;
  if (typeof value === 'string') return at(whyNoText(value));
  if (typeof value === 'number')
    return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER
      ? undefined
      : at('is too large a number');
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, part] of Object.entries(value)) {
    const why = at(whyNoText(key)) ?? whyUnfit(part, [...path, key]);
    if (why) return why;
  }
  return undefined;
}
