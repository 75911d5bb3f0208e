import { Worker } from 'node:worker_threads';
import type { Touched } from '../domain/risk';

/**
 * Patterns of the targets file against the paths of a change. Anybody may commit any path, and a pattern such as
 * `**\/*a*a*a*b` takes minutes for some, so that they are matched in a thread of their own, which is ended when it is
 * late: what it did not get to counts as touched.
 */
const limitMs = 3_000;
/** Of a machine that is busy; nothing of the change is looked at meanwhile. */
const startMs = 30_000;
const memoryMb = 256;
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const picomatch = require(workerData.picomatch);
parentPort.postMessage('begun');
for (const pattern of workerData.patterns) {
  const matches = picomatch(pattern, { dot: true });
  const touched = workerData.paths.filter((path) => matches(path));
  parentPort.postMessage({ first: touched[0], count: touched.length });
}`;

/**
 * @param within milliseconds, from when the thread is there.
 * @returns of each pattern what it matches, in order.
 */
export async function touchedBy(patterns: string[], paths: string[], within = limitMs): Promise<Touched[]> {
  const found: Touched[] = [];
  if (patterns.length === 0) return found;
  const worker = new Worker(program, {
    eval: true,
    workerData: { picomatch: require.resolve('picomatch'), patterns, paths },
    resourceLimits: { maxOldGenerationSizeMb: memoryMb },
  });
  const endIn = (ms: number) => setTimeout(() => void worker.terminate(), ms);
  let timer = endIn(startMs);
  worker.on('message', (said: Touched | 'begun') => {
    if (said !== 'begun') return void found.push(said);
    clearTimeout(timer);
    timer = endIn(within);
  });
  try {
    await new Promise<void>((resolve) => {
      // Out of memory, or a pattern that is none: what is missing then counts as touched, too.
      worker.once('error', () => undefined);
      worker.once('exit', () => resolve());
    });
  } finally {
    clearTimeout(timer);
  }
  return patterns.map((_pattern, n) => found[n] ?? 'late');
}
