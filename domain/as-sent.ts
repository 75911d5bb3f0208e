/** More than anything that Signalbox's API says to a workflow. */
const mostCharacters = 100_000;
const deepest = 32;

/**
 * What anybody sent to a workflow, fit to be passed on: as it is, or a note in its place when it is deeper or longer than
 * all that the API says. Nested deeply it could not be written as JSON again, and written anew numbers take more room than
 * a command has; either way the workflow would stand still, or be ended by the server, because of who only reaches it.
 */
export function asSent<T>(message: T): T {
  let length = 0;
  const rest: [value: unknown, depth: number][] = [[message, 0]];
  for (let next = rest.pop(); next; next = rest.pop()) {
    const [value, depth] = next;
    length += typeof value === 'string' ? value.length + 2 : 24;
    if (typeof value === 'object' && value !== null)
      for (const name in value) {
        length += name.length + 3;
        if (length > mostCharacters) break;
        rest.push([(value as Record<string, unknown>)[name], depth + 1]);
      }
    if (length > mostCharacters) return 'something longer than anything that Signalbox says' as T;
    if (depth > deepest) return 'something more deeply nested than anything that Signalbox says' as T;
  }
  return message;
}
