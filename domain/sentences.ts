/**
 * Joins parts to sentences. Each gets an end where it has none, and one end only: what is quoted (a failure, a reason
 * somebody typed) may bring its own.
 */
export const sentences = (...parts: (string | null | undefined | false)[]): string =>
  parts
    .map((part) => (part || '').trim())
    .filter((part) => part !== '')
    // Two stops are a mistake of joining; three are meant.
    .map((part) => part.replace(/[,;:]+$/, '').replace(/(?<!\.)\.\.$/, '.'))
    .map((part) => (/[.!?…]["')\]`*]*$/.test(part) ? part : `${part}.`))
    .join(' ');
