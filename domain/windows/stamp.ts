/**
 * An instant as people read it, `2026-01-05 20:00`; with seconds where it has some.
 * @param at milliseconds since 1970. @param offsetMs of the zone in which it is read; left out: UTC.
 */
export const stamp = (at: number, offsetMs = 0): string =>
  new Date(at + offsetMs)
    .toISOString()
    .slice(0, at % 60_000 === 0 ? 16 : 19)
    .replace('T', ' ');
