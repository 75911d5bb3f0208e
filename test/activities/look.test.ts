import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sandboxOf } from '../../activities/sandbox';
import { look } from '../../activities/look';
import type { TargetConfig } from '../../domain/config';
import { until } from '../helpers/until';

/** What is live is asked beside the record, which waits for no command that takes long. */
const folder = mkdtempSync(join(tmpdir(), 'signalbox-look-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('a command that does not say in time is given up, with the reason, and leaves nothing', async () => {
  const pidFile = join(folder, 'pid');
  const hook = { argv: ['true'], timeoutSeconds: 600 };
  const slow = `require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000)`;
  const driver = {
    kind: 'command',
    root: join(folder, 'target'),
    keepReleases: 5,
    swap: hook,
    restore: hook,
    observe: { argv: [process.execPath, '-e', slow], timeoutSeconds: 600 },
  };
  const targets = new Map([['shop', { name: 'shop', driver } as unknown as TargetConfig]]);
  const sandbox = sandboxOf('none', { stateDir: folder, targets: () => targets, secretFiles: [] });
  await expect(look({ targets: () => targets, sandbox }, 'shop')).rejects.toThrow(
    'driver.observe did not say within 15 s what shop runs',
  );
  const pid = Number(readFileSync(pidFile, 'utf8'));
  await until('it to be gone', () => {
    try {
      process.kill(pid, 0);
      return false;
    } catch {
      return true;
    }
  });
});
