import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import picomatch from 'picomatch';
import { takePart } from '../helpers/guardian.cjs';
import { runCell, type CellResult } from './cell';
import { runScenario, type Scenario } from './scenario';
import { scenarios } from './scenarios';
import { shuffled } from './chance';
import { matrix, subset, type Cell } from './matrix';
import { report, wrongOf } from './report';
import { shipped, startStack, type Stack } from './stack';

const usage = `npm run faults                                    every cell of the matrix
npm run faults -- --subset                        the fixed few that npm test runs
npm run faults -- --cell swap/middle/worker/kill  one cell, or those that a pattern names ('swap/**')
npm run faults -- --list                          their names
  --seed N      repeats the chances of a run (printed at its begin)
  --lanes N     so many side by side, each on servers of its own (3)
  --document    puts the tables into docs/reliability.md
  --out FOLDER  where report.json and report.md are written (.faults)`;

async function main(): Promise<number> {
  takePart('faults');
  const { values } = parseArgs({
    options: {
      cell: { type: 'string' },
      subset: { type: 'boolean' },
      list: { type: 'boolean' },
      help: { type: 'boolean' },
      document: { type: 'boolean' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      lanes: { type: 'string', default: '3' },
      out: { type: 'string', default: '.faults' },
      program: { type: 'string', default: shipped },
    },
  });
  if (values.help) return say(usage);
  const seed = whole(values.seed, '--seed');
  const lanes = whole(values.lanes, '--lanes');
  const asked = chosen(values.cell, values.subset);
  const whyNot = (work: Work) => (isScenario(work) ? work.whyNot?.() : undefined);
  const cells = asked.filter((work) => !whyNot(work));
  for (const work of asked) if (whyNot(work)) say(`skipped: ${work.name}: ${whyNot(work)}`);
  if (values.list) return say(cells.map(({ name }) => name).join('\n'));
  if (cells.length === 0)
    throw new Error(`No cell is named ${values.cell}; "npm run faults -- --list" prints the names.`);

  // Servers that are struck are told of by its SDK too, at length.
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {} } },
  });
  say(`${cells.length} cells, seed ${seed}, ${Math.min(lanes, cells.length)} side by side`);
  const began = Date.now();
  const queue = shuffled(cells, seed, ({ name }) => name);
  const results: CellResult[] = [];
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => (interrupted = true));

  // What has to be built is built before anything is watched: it holds up this whole process, and so each cell beside it.
  for (const cell of cells) if (isScenario(cell)) cell.program?.();
  const still = standingStill();
  const lane = async () => {
    let stack: Stack | undefined;
    for (let cell = queue.shift(); cell && !interrupted; cell = queue.shift()) {
      const scenario = isScenario(cell) ? cell : undefined;
      // It has servers of its own, and leaves them as nobody else should find them.
      if (scenario) stack = await stack?.stop().then(() => undefined);
      let result: CellResult;
      const since = still.longest();
      try {
        const program = scenario?.program?.() ?? resolve(values.program);
        stack ??= await startStack({ program, ...scenario?.stack });
        result = await (isScenario(cell) ? runScenario(stack, cell, seed) : runCell(stack, cell, seed));
      } catch (thrown) {
        result = broken(cell.name, seed, thrown);
      }
      results.push(result);
      const good = result.violations.length === 0;
      say(
        `${String(results.length).padStart(4)}  ${good ? 'ok       ' : 'VIOLATION'}  ${cell.name.padEnd(46)} ${(result.tookMs / 1000).toFixed(1).padStart(6)} s, recovered in ${(result.recoveryMs / 1000).toFixed(1)} s`,
      );
      for (const violation of result.violations) say(`        ${violation}`);
      if (!good)
        say(
          `        while it ran the harness itself, which asks the site, stood still for up to ${since().toFixed(1)} s`,
        );
      if (good && !scenario) continue;
      // What is wrong must not be found again in the next cell; what happened can be read in the folder.
      await stack?.stop(!good);
      if (!good)
        say(
          `        its logs: ${stack?.folder}; again: npm run faults -- --cell ${cell.name} --seed ${seed}`,
        );
      stack = undefined;
    }
    await stack?.stop();
  };
  await Promise.all(Array.from({ length: Math.min(lanes, cells.length) }, lane));

  const run = { seed, seconds: (Date.now() - began) / 1000, results };
  mkdirSync(values.out, { recursive: true });
  writeFileSync(`${values.out}/report.json`, JSON.stringify(run, null, 1));
  writeFileSync(`${values.out}/report.md`, `${report(run)}\n`);
  if (values.document) document(report(run));
  say(`\n${report(run)}\n\nWritten to ${values.out}/.`);
  const wrong = wrongOf(results).length;
  say(`${results.length} cells, ${wrong} violations`);
  return wrong > 0 || results.length < cells.length ? 1 : 0;
}

/** How long this process did nothing at all. What it is then found to answer late says nothing about Signalbox. */
function standingStill() {
  const gaps: { at: number; seconds: number }[] = [];
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > 1_000) gaps.push({ at: now, seconds: (now - last) / 1000 });
    last = now;
  }, 100).unref();
  return {
    /** @returns the longest from now on, in seconds. */
    longest: () => {
      const from = Date.now();
      return () => Math.max(0, ...gaps.filter(({ at }) => at >= from).map(({ seconds }) => seconds));
    },
  };
}

function document(tables: string): void {
  const file = 'docs/reliability.md';
  const text = readFileSync(file, 'utf8');
  const between = /<!-- report -->[^]*<!-- \/report -->/;
  writeFileSync(
    file,
    text.replace(between, () => `<!-- report -->\n\n${tables}\n\n<!-- /report -->`),
  );
}

const say = (line: string): number => {
  console.log(line);
  return 0;
};

type Work = Cell | Scenario;
const isScenario = (work: Work): work is Scenario => 'run' in work;

function chosen(pattern: string | undefined, few: boolean | undefined): Work[] {
  if (few) return matrix.filter(({ name }) => subset.includes(name));
  const usual = [...matrix, ...scenarios.filter(({ alone }) => !alone)];
  return pattern ? [...matrix, ...scenarios].filter(({ name }) => picomatch.isMatch(name, pattern)) : usual;
}

function whole(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0)
    throw new Error(`${name} takes a whole number, not "${text}".`);
  return number;
}

/** A cell that could not be run to its end proves nothing: it counts as a violation. */
const broken = (cell: string, seed: number, thrown: unknown): CellResult => ({
  cell,
  seed,
  violations: [
    `it could not be run to its end: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`,
  ],
  recoveryMs: 0,
  convergenceMs: 0,
  samples: 0,
  failures: 0,
  tookMs: 0,
});

main().then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    console.error(thrown instanceof Error ? thrown.message : thrown);
    process.exit(2);
  },
);
