import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tellHistory } from '../../domain/history';

/** Histories of real workflows, recorded by a released version, told in plain words. */
const folder = 'test/replay/histories/0.1';
const told = (name: string) =>
  tellHistory(JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'))).map(({ text }) => text);

it('tells a rollback from beginning to end', () => {
  const lines = told('rolled-back-first');
  expect(lines.slice(0, 5)).toEqual([
    'deployPromotion started',
    'Admit the attempt, or refuse it with the reason: written',
    expect.stringMatching(/^Build sick \([0-9a-f]{12}\): scheduled$/),
    expect.stringMatching(/^Build sick \([0-9a-f]{12}\): begun$/),
    expect.stringMatching(/^Build sick \([0-9a-f]{12}\): done$/),
  ]);
  expect(lines).toContainEqual(
    expect.stringMatching(/^Health check: .*: failed: Unhealthy: http.* did not answer 2 times in a row/),
  );
  expect(lines).toContainEqual('Undo swap: make the release from before current again: done');
  expect(lines.at(-1)).toBe('the workflow completed');
});

it.each([
  ['slept-and-woken', /^timer: Until the window of shop opens: .*, [\d.]+s$/],
  ['slept-and-woken', /^was told: windowChanged$/],
  ['recovered', /^recoverDeployment started: Recover CP-10\.1: /],
  ['cancelled-in-build', /: stopped$/],
])('%s: %s', (name, line) => expect(told(name)).toContainEqual(expect.stringMatching(line)));

it('says something of each event, in order, whatever the outcome', () => {
  for (const file of readdirSync(folder)) {
    const events = tellHistory(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    expect(events.length).toBeGreaterThan(2);
    for (const { at, text } of events) {
      expect(at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/);
      expect(text).not.toMatch(/undefined|a step|something|\[object/);
    }
    expect(events.map(({ id }) => id)).toEqual(events.map(({ id }) => id).sort((a, b) => a - b));
  }
});
