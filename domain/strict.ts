import { z } from 'zod';

/** An object that refuses unknown fields, and says which fields it knows. */
export const strict = <S extends z.ZodRawShape>(shape: S) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `unknown ${listed(issue.keys)}; allowed: ${Object.keys(shape).join(', ')}`
        : issue.code === 'invalid_type'
          ? `allowed: an object with ${Object.keys(shape).join(', ')}`
          : undefined,
  });

/** An answer is no longer than what it answers. */
const mostNamed = 20;
function listed(keys: string[]): string {
  const named = keys.slice(0, mostNamed).map((key) => JSON.stringify(key));
  return named.join(', ') + (keys.length > mostNamed ? ` and ${keys.length - mostNamed} more` : '');
}

export interface Problem {
  /** Dotted path into the input, such as `targets.shop.health.url`; empty for the input itself. */
  path: string;
  found: string;
  allowed: string;
}

/** Zod's issues, the first of them, as path, what was found there, and what is allowed. */
export function problemsOf(error: z.ZodError, input: unknown): Problem[] {
  return error.issues.slice(0, mostNamed).map((issue) => ({
    path: issue.path.map(String).join('.'),
    found: shown(issue.path.reduce<unknown>((value, key) => (value as never)?.[key], input)),
    allowed: issue.message,
  }));
}

export const problemText = (problems: Problem[]): string =>
  problems.map(({ path, found, allowed }) => `${path || 'the whole'}: found ${found}; ${allowed}`).join('\n');

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return 'a value nested too deep to show';
  }
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
