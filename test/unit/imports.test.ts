import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync, mkdirSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The import rules themselves: a check that could not fail would check nothing. */
const cruiser = resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');

function cruise(room: string, other: string, statement: string): { status: number | null; stdout: string } {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-imports-'));
  try {
    for (const name of [room, other]) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, room, 'a.ts'), statement);
    writeFileSync(join(folder, other, 'b.ts'), 'export const b = 1;\nexport type B = number;\n');
    cpSync('.dependency-cruiser.cjs', join(folder, '.dependency-cruiser.cjs'));
    writeFileSync(join(folder, 'tsconfig.json'), '{}');
    return spawnSync(process.execPath, [cruiser, '--config', '.dependency-cruiser.cjs', room], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, NODE_PATH: join(process.cwd(), 'node_modules') },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

it.each([
  ['domain', 'db'],
  ['db', 'api'],
  ['activities', 'api'],
  ['api', 'worker'],
  ['api', 'activities'],
  ['worker', 'api'],
  ['web', 'db'],
  ['workflows', 'activities'],
])('%s must not import %s', (room, other) => {
  const { status, stdout } = cruise(room, other, `import { b } from '../${other}/b';\nconsole.log(b);\n`);
  expect(stdout).toContain(`${room}-imports`);
  expect(status).not.toBe(0);
});

it('workflows may import types of activities', () => {
  const { status, stdout } = cruise(
    'workflows',
    'activities',
    "import type { B } from '../activities/b';\nexport const a: B = 1;\n",
  );
  expect(stdout).toContain('no dependency violations');
  expect(status).toBe(0);
});

it('workflows must not reach for the machine', () => {
  const { stdout } = cruise(
    'workflows',
    'domain',
    "import { readFileSync } from 'node:fs';\nreadFileSync('x');\n",
  );
  expect(stdout).toContain('workflows-are-deterministic');
});
