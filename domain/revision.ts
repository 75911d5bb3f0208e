/**
 * What may name a commit: a tag, a branch, or a commit's own hash. Git's revision grammar beyond that (`main~3`,
 * `v1^{/text}`, `:/text`, `main@{yesterday}`, `v1..v2`) evaluates what it is given, searches by regular expressions
 * that have no limit, and means another commit tomorrow than it does today.
 */
const rules: [form: RegExp, why: string][] = [
  [/^-/, 'must not start with a dash'],
  [/[\u0000-\u0020\u007f]/, 'must not contain spaces or control characters'],
  [/[~^:?*[\\]|@\{|\.\.|^@$/, 'is an expression (~ ^ : ? * [ \\ @{ ..), not a name'],
  [/^\/|\/$|\/\/|\/\.|^\.|\.$|\.lock(\/|$)/, 'is no name that git takes'],
];

/** Why a text can be no tag, branch or hash (git check-ref-format); undefined when it can. */
export const whyNoRevision = (text: string): string | undefined =>
  rules.find(([form]) => form.test(text))?.[1];

/** What a revision has to be. */
export const revisionForm = 'name a tag, a branch or a commit';

/** A commit's hash, whole or its first digits. */
export const isHash = (text: string): boolean => /^[0-9a-f]{4,64}$/i.test(text);
export const isWholeHash = (text: string): boolean => /^([0-9a-f]{40}|[0-9a-f]{64})$/i.test(text);
