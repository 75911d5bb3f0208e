/**
 * A point at which the fault harness holds a process, to kill or stop it there. The build takes every call out of
 * what users run (scripts/build.mjs), so a call is a statement of its own: `await failpoint('swap/middle');`.
 *
 * Points of a step: `asked` (Temporal handed it out, nothing is written yet), `begun` (it has the step and has not yet
 * killed what older tries left), `before` its work, in its `middle`, `effect-unreported` (done, its record not
 * written), `recorded-unreported` (its record written, Temporal not told).
 * Of what only writes the record, `middle` is just before its transaction commits.
 */
export async function failpoint(name: string): Promise<void> {
  const { signalboxBarrier } = globalThis as { signalboxBarrier?: (name: string) => Promise<void> };
  await signalboxBarrier?.(name);
}
