/** How far the copying of a repository is. */
export interface MirrorProgress {
  /** What git does now, in its own words: `Receiving objects`. */
  phase: string;
  percent: number | null;
  /** What has arrived, as git counts it: `1.20 MiB | 2.00 MiB/s`. */
  received: string | null;
  /** Since it began. */
  seconds: number;
}

/** Reads a line of git's progress: `Receiving objects:  45% (9/20), 1.20 MiB | 2.00 MiB/s`. */
export function progressOf(line: string): Omit<MirrorProgress, 'seconds'> {
  const [, phase, percent] = /^(?:remote: )?([^:]+): +(?:(\d+)%)?/.exec(line) ?? [];
  const [received] = /\d+(?:\.\d+)? (?:bytes|[KMGT]iB)(?: \| [\d.]+ [a-zA-Z]+\/s)?/.exec(line) ?? [];
  return {
    phase: phase ?? line,
    percent: percent === undefined ? null : Number(percent),
    received: received ?? null,
  };
}

/** `Receiving objects, 45%, 1.20 MiB | 2.00 MiB/s, for 12 s`. */
export const progressText = ({ phase, percent, received, seconds }: MirrorProgress): string =>
  [phase, percent === null ? undefined : `${percent}%`, received, `for ${seconds} s`]
    .filter((part) => part !== undefined && part !== null)
    .join(', ');
