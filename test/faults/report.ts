import { percentile } from '../../bench/result';
import type { CellResult } from './cell';

/** What a run of the harness says: for the terminal, and as the tables of docs/reliability.md. */
export interface Run {
  seed: number;
  seconds: number;
  results: CellResult[];
}

export const wrongOf = (results: CellResult[]) => results.filter(({ violations }) => violations.length > 0);

/**
 * The highest rate of violations that this many runs with this many violations do not rule out, at 95 %: the exact
 * one-sided bound of Clopper and Pearson. With none it is close to 3 / runs.
 */
export function upperBound(violations: number, runs: number): number {
  if (runs === 0 || violations >= runs) return 1;
  /** Probability of at most so many violations at a rate. */
  const atMost = (rate: number) => {
    let term = (1 - rate) ** runs;
    let sum = term;
    for (let k = 1; k <= violations; k++) {
      term *= ((runs - k + 1) / k) * (rate / (1 - rate));
      sum += term;
    }
    return sum;
  };
  let low = violations / runs;
  let high = 1;
  for (let n = 0; n < 60; n++) {
    const middle = (low + high) / 2;
    if (atMost(middle) > 0.05) low = middle;
    else high = middle;
  }
  return high;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const row = (cells: (string | number)[]) => `| ${cells.join(' | ')} |`;

export function report({ seed, seconds: took, results }: Run): string {
  const wrong = wrongOf(results);
  const samples = results.reduce((sum, result) => sum + result.samples, 0);
  const failures = results.reduce((sum, result) => sum + result.failures, 0);
  const converged = results.map(({ convergenceMs }) => convergenceMs);
  const kinds = [...new Set(results.map(({ cell }) => kindOf(cell)))].sort();
  const lines = [
    row(['figure', 'value']),
    row(['---', '---']),
    row(['cells, each run once', results.length]),
    row(['seed', seed]),
    row(['violations', wrong.length]),
    row([
      '95 % upper bound of the rate of violations',
      `${(upperBound(wrong.length, results.length) * 100).toFixed(2)} %`,
    ]),
    row(['samples of the prober (every 10 ms)', samples]),
    row(['of them failed', failures]),
    row(['record and Temporal agree after a deployment, p50 / p99 / max', spread(converged)]),
    row(['took', `${(took / 60).toFixed(0)} min`]),
    '',
    row(['victim and fault', 'cells', 'violations', 'recovery p50', 'p99', 'max']),
    row(['---', '---', '---', '---', '---', '---']),
    ...kinds.map((kind) => {
      const mine = results.filter(({ cell }) => kindOf(cell) === kind);
      const times = mine.map(({ recoveryMs }) => recoveryMs);
      return row([
        kind,
        mine.length,
        wrongOf(mine).length,
        ...[0.5, 0.99, 1].map((p) => seconds(percentile(times, p))),
      ]);
    }),
  ];
  if (wrong.length > 0)
    lines.push(
      '',
      ...wrong.flatMap(({ cell, violations }) => [`- \`${cell}\``, ...violations.map((v) => `  - ${v}`)]),
    );
  return lines.join('\n');
}

const kindOf = (cell: string) =>
  cell.split('/').length === 4 ? cell.split('/').slice(2).join(', ') : 'besides the matrix';
const spread = (values: number[]) => [0.5, 0.99, 1].map((p) => seconds(percentile(values, p))).join(' / ');
