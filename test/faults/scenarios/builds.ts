import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario';
import { until } from '../../helpers/until';

/** Builds that behave badly. Each replaces the repository's build program. */
const shortly = { buildSeconds: 4 };

/** Peak of a process's memory, MiB. */
const peakOf = (pid: number) =>
  Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

export const builds: Scenario[] = [
  {
    name: 'besides/build-hangs',
    stack: shortly,
    async run({ deploy, demand }) {
      const end = await deploy('rolled-back', 'well', { 'build.js': 'setInterval(() => undefined, 1000)' });
      demand(/did not finish within 4 s/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
    },
  },
  {
    name: 'besides/build-ignores-term',
    stack: shortly,
    async run({ deploy, demand }) {
      const end = await deploy('rolled-back', 'well', {
        'build.js': "process.on('SIGTERM', () => console.log('no')); setInterval(() => undefined, 1000)",
      });
      demand(/did not finish within 4 s/.test(end.outcome ?? ''), `it does not say why: ${end.outcome}`);
    },
  },
  {
    name: 'besides/build-double-forks',
    async run({ stack, deploy, demand }) {
      const late = join(stack.folder, 'late');
      const child = `setTimeout(() => require('node:fs').writeFileSync('${late}', 'I am still here'), 2000)`;
      // A grandchild in a session of its own, whose parent has gone: no process group reaches it.
      const parent = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { detached: true, stdio: 'ignore' }).unref()`;
      await deploy('succeeded', 'well', {
        'build.js': `const fs = require('node:fs');
require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(parent)}], { detached: true, stdio: 'ignore' }).unref();
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
const until = Date.now() + 500; while (Date.now() < until);`,
      });
      await sleep(2_500);
      demand(!existsSync(late), 'what the build left running wrote after the deployment had ended');
    },
  },
  {
    name: 'besides/build-prints-a-gigabyte',
    async run({ stack, deploy, demand }) {
      const { pid } = stack.worker;
      const lines = 65_536;
      const end = await deploy('succeeded', 'well', {
        'build.js': `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
const line = Buffer.from('x'.repeat(16_383) + '\\n');
for (let n = 0; n < ${lines}; n++) fs.writeSync(1, line);`,
      });
      const stored = await stack.withDb((db) =>
        db('deployment_log').where({ step: 'build', stream: 'out' }).count('* as count').first(),
      );
      const count = Number(stored?.count);
      demand(count >= lines, `only ${count} of ${lines} lines are in the log of ${end.key}`);
      demand(peakOf(pid) < 1_024, `the worker took ${peakOf(pid).toFixed(0)} MiB for it`);
    },
  },
  {
    name: 'besides/cancelled-while-a-build-ignores-term',
    async run({ stack, start, demand }) {
      const started = await start('well', {
        'build.js':
          "process.on('SIGTERM', () => console.log('no')); console.log('hanging'); setInterval(() => undefined, 1000)",
      });
      await until('the build to hang', () =>
        stack.withDb(
          async (db) => (await db('deployment_log').where({ text: 'hanging' }).first()) !== undefined,
        ),
      );
      await stack.users.ask('sven', 'POST', `/deployments/${started.attempt}/cancel`, { reason: 'it hangs' });
      const end = await started.ends('rolled-back');
      demand(
        /Nothing was touched/.test(end.outcome ?? ''),
        `it does not say that nothing was touched: ${end.outcome}`,
      );
    },
  },
];
