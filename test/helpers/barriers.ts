import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newFolder, until } from './up';

/**
 * Failpoint barriers: processes started with `env` stop at the failpoints that are armed, so that a test can kill
 * or stop them exactly there.
 */
export function barriers(folder = newFolder('signalbox-barriers-')) {
  const file = (name: string, state: string) => join(folder, `${name.replaceAll('/', '.')}.${state}`);
  return {
    env: { SIGNALBOX_BARRIERS: folder },
    /** The next process that comes to this failpoint waits there. */
    arm(name: string): void {
      for (const state of ['reached', 'open']) rmSync(file(name, state), { force: true });
      writeFileSync(file(name, 'armed'), '');
    },
    reached: (name: string) => until(`${name} to be reached`, () => existsSync(file(name, 'reached'))),
    open: (name: string) => writeFileSync(file(name, 'open'), ''),
  };
}
