import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { beginRun } from '../helpers/guardian.cjs';
import { hasSandbox, hidesFromHooks } from '../helpers/sandboxes';
import { mutants, type Killer, type Mutant } from './mutant-list';

/**
 * The proof that the suite notices: each safeguard is removed in turn, in a copy of the sources, and what watches over
 * it has to turn red. It has to be green without the removal, or its red would say nothing.
 */
const copy = resolve('.mutants');

function main(): number {
  const { values } = parseArgs({ options: { only: { type: 'string' }, keep: { type: 'boolean' } } });
  const asked = mutants.filter(({ name }) => values.only === undefined || name === values.only);
  if (asked.length === 0) {
    console.error(
      `There is no mutant ${values.only}. There are: ${mutants.map(({ name }) => name).join(', ')}.`,
    );
    return 2;
  }
  const here = hasSandbox && hidesFromHooks;
  for (const { name, needs } of asked)
    if (needs && !here) console.log(`skipped   ${name}: this host has no ${needs}`);
  const chosen = asked.filter(({ needs }) => !needs || here);
  beginRun();
  makeCopy();
  console.log(`${chosen.length} safeguards. First what watches over them, with nothing removed:`);
  const blind = chosen.filter(
    ({ killer }) => !said(killer, turnsRed(killer), 'green', 'RED WITHOUT A REMOVAL'),
  );
  if (blind.length > 0) {
    console.log(`${blind.map(({ name }) => name).join(', ')}: red already; a removal would prove nothing.`);
    return 1;
  }
  let killed = 0;
  for (const mutant of chosen) {
    const outcome = outcomeOf(mutant);
    if (outcome === 'killed') killed += 1;
    console.log(`${outcome.padEnd(8)}  ${mutant.name}: ${mutant.without}, by ${nameOf(mutant.killer)}`);
  }
  if (!values.keep) rmSync(copy, { recursive: true, force: true });
  console.log(`${killed} of ${chosen.length} killed`);
  return killed === chosen.length ? 0 : 1;
}

/** BROKEN: it proves nothing, because what is left does not build, say; the others still can. */
function outcomeOf(mutant: Mutant): 'killed' | 'SURVIVED' | 'BROKEN' {
  const restore = remove(mutant);
  try {
    return turnsRed(mutant.killer) ? 'killed' : 'SURVIVED';
  } catch (thrown) {
    console.log(String(thrown));
    return 'BROKEN';
  } finally {
    restore();
  }
}

function said(killer: Killer, red: boolean, good: string, bad: string): boolean {
  console.log(`  ${red ? bad : good}  ${nameOf(killer)}`);
  return !red;
}
const nameOf = (killer: Killer) =>
  'cell' in killer ? `the cell ${killer.cell}` : `${killer.test}${killer.named ? `, "${killer.named}"` : ''}`;

function makeCopy(): void {
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy);
  const { stdout } = spawnSync('git', ['ls-files', '-z'], { encoding: 'utf8' });
  for (const file of stdout.split('\0').filter((name) => name && !name.startsWith('docs/')))
    cpSync(file, join(copy, file));
  symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
}

/** @returns what puts it back. @throws when the text to remove does not stand there exactly once. */
function remove({ name, file, from, to }: Mutant): () => void {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  if (text.split(from).length !== 2) throw new Error(`${name}: ${file} does not hold exactly once: ${from}`);
  writeFileSync(
    path,
    text.replace(from, () => to),
  );
  return () => writeFileSync(path, text);
}

/** Whether it failed as a test fails; an error of another kind is no proof. */
function turnsRed(killer: Killer): boolean {
  const run = (args: string[]) =>
    spawnSync(process.execPath, args, {
      cwd: copy,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
      env: { ...process.env, FORCE_COLOR: '0' },
    });
  if ('cell' in killer || killer.built) {
    const built = run(['scripts/build.mjs']);
    if (built.status !== 0) throw new Error(`it does not build: ${built.stdout}${built.stderr}`);
  }
  const { status, stdout, stderr } =
    'cell' in killer
      ? run([
          'dist-failpoints/test/faults/main.js',
          '--cell',
          killer.cell,
          '--seed',
          String(killer.seed ?? 7),
        ])
      : run([
          'node_modules/jest/bin/jest.js',
          '--forceExit',
          killer.test,
          ...(killer.named ? ['-t', killer.named] : []),
        ]);
  const all = stdout + stderr;
  const red = 'cell' in killer ? /^1 cells, 1 violations$/m.test(all) : /^Tests: .*\d+ failed/m.test(all);
  const green = 'cell' in killer ? /^1 cells, 0 violations$/m.test(all) : /^Tests: .*\d+ passed/m.test(all);
  if (red === (status === 0) || (!red && !green))
    throw new Error(`${nameOf(killer)} neither passed nor failed:\n${all.slice(-3_000)}`);
  return red;
}

process.exitCode = main();
