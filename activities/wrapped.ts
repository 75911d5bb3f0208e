type Run = (...args: unknown[]) => Promise<unknown>;

/** Each of these activities as `wrap` makes it of what it was. */
export const wrapped = <A extends object>(activities: A, wrap: (run: Run, name: string) => Run): A =>
  Object.fromEntries(
    Object.entries(activities as Record<string, Run>).map(([name, run]) => [name, wrap(run, name)]),
  ) as A;
