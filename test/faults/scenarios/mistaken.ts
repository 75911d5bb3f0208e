import { readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { DeploymentView } from '../../../domain/schemas';
import { until } from '../../helpers/until';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';

/** What says nothing about a release, and must not be taken for a verdict on it. */
const troubleOf = (stack: Stack, attempt: string) =>
  until('the trouble to be shown', async () => {
    const { status, steps } = await stack.users.ask<DeploymentView>(
      'carla',
      'GET',
      `/deployments/${attempt}`,
    );
    if (status === 'rolled-back') throw new Error(`${attempt} was undone`);
    return steps.find(({ name }) => name === 'build')?.trouble ?? undefined;
  });

/** The process of a build whose worker keeps its state in this folder; inside of its sandbox it has another number. */
const buildBelow = (folder: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        const [of, how] = ['environ', 'cmdline'].map((name) =>
          readFileSync(`/proc/${pid}/${name}`, 'latin1'),
        );
        return of!.includes(folder) && how === `${process.execPath}\0build.js\0`;
      } catch {
        return false;
      }
    });

export const mistaken: Scenario[] = [
  {
    name: 'besides/git-host-away',
    async run({ stack, demand }) {
      const { users } = stack;
      await stack.commit('away', 'well');
      const promotion = await users.approved('away');
      const repository = join(stack.folder, 'repository');
      renameSync(repository, `${repository}-away`);
      const attempt = await users.deploy(promotion);
      const { message } = await troubleOf(stack, attempt);
      demand(/could not be read/.test(message), `it does not say what it met: ${message}`);
      // What it met is in the record, and not in this worker.
      stack.worker.signal('SIGKILL');
      await stack.worker.ended;
      stack.worker = await stack.startWorker();
      await until('another worker to meet it', async () => {
        const { tries } = await troubleOf(stack, attempt);
        return tries > 2;
      });
      renameSync(`${repository}-away`, repository);
      const end = await users.ended(attempt);
      demand(end.status === 'succeeded', `it ended as ${end.status}: ${end.outcome}`);
      demand(
        end.steps.every(({ status }) => status === 'done'),
        `steps: ${end.steps.map(({ name, status }) => `${name} ${status}`).join(', ')}`,
      );
    },
  },
  {
    name: 'besides/build-killed-from-outside',
    async run({ stack, start, demand }) {
      const marker = join(stack.folder, 'killed-once');
      const started = await start('well', {
        'build.js': `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
if (!fs.existsSync('${marker}')) { fs.writeFileSync('${marker}', ''); console.log('it runs'); setInterval(() => undefined, 1000); }`,
      });
      const pid = await until('the build to run', () =>
        stack.withDb(async (db) => {
          const runs = await db('deployment_log').where({ text: 'it runs' }).first();
          return runs && buildBelow(stack.folder);
        }),
      );
      // As the system does when memory runs out.
      process.kill(pid, 'SIGKILL');
      const end = await started.ends('succeeded');
      const killed = await stack.withDb((db) =>
        db('deployment_log').where('text', 'like', '%and not by Signalbox%').first(),
      );
      demand(killed !== undefined, `the log of ${end.key} does not say that it was killed`);
    },
  },
];
