/** One line of the table: what Signalbox does, what a bare peer does in the same run, and the goal of the ratio. */
export interface Result {
  what: string;
  ours: string;
  peer: string;
  /** The ratio ours / peer; where there is no peer, the figure itself. */
  value: number;
  unit?: string;
  /** Left out: a figure to know, with no goal. */
  goal?: { least: number } | { most: number };
}

export const met = ({ value, goal }: Result) =>
  goal === undefined || ('least' in goal ? value >= goal.least : value <= goal.most);

export const percentile = (values: number[], p: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))]!;
};
export const median = (values: number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
};

export function table(results: Result[]): string {
  const rows = results.map((result) => {
    const { what, ours, peer, value, unit = '', goal } = result;
    const shown = `${value.toFixed(2)}${unit}`;
    if (!goal) return [what, ours, peer, shown, 'none', ''];
    const wanted = 'least' in goal ? `at least ${goal.least}${unit}` : `at most ${goal.most}${unit}`;
    return [what, ours, peer, shown, wanted, met(result) ? 'met' : 'missed'];
  });
  const all = [['measure', 'Signalbox', 'peer, same run', 'ratio or figure', 'goal', ''], ...rows];
  const widths = all[0]!.map((_, n) => Math.max(...all.map((row) => row[n]!.length)));
  const line = (row: string[]) => `| ${row.map((cell, n) => cell.padEnd(widths[n]!)).join(' | ')} |`;
  return [line(all[0]!), line(widths.map((width) => '-'.repeat(width))), ...all.slice(1).map(line)].join(
    '\n',
  );
}
