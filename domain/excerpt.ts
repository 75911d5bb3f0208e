/** What is quoted of a long text, so that what matters is in it once. */

/** How programs begin a line that says what is wrong. */
const says =
  /(^|\W)(error|fatal|panic|panicked|traceback|exception|failed|failure)\b|\b[A-Z]\w*(Error|Exception)\b|\b(ENOENT|EACCES|ENOSPC|ECONNREFUSED|ETIMEDOUT|cannot|could not|not found|no such file|permission denied)\b/i;
const around = 3;

/**
 * The end of a step's log, with the first line that says what is wrong: where that stands earlier, it and what follows it
 * come first, and how many lines are left out stands between. @param texts the newest lines. @param most so many of them.
 */
export function excerpt(texts: string[], most: number): (string | { leftOut: number })[] {
  if (texts.length <= most) return texts;
  const first = texts.findIndex((text) => says.test(text));
  const end = texts.length - most + around;
  if (first === -1 || first >= texts.length - most) return texts.slice(-most);
  const quoted = texts.slice(first, Math.min(first + around, end));
  const leftOut = end - first - quoted.length;
  return [...quoted, ...(leftOut > 0 ? [{ leftOut }] : []), ...texts.slice(end)];
}

/** What a health check says of the last answer, and what that was: it may be long. */
export function answerIn(detail: string): { said: string; answer?: string } {
  const [, said, answer] = /^(Unhealthy: [^]* Last: status \d{3}): ([^]*)\.$/.exec(detail) ?? [];
  return said === undefined ? { said: detail } : { said: `${said}.`, answer };
}
