import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario';
import { until } from '../../helpers/until';

/** What says nothing and does not close: a git remote, and connections to the database. */
const gitOf = (url: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(url);
      } catch {
        return false;
      }
    });

export const hung: Scenario[] = [
  {
    name: 'besides/cancelled-while-the-remote-is-silent',
    stack: { remote: true },
    async run({ stack, demand }) {
      const remote = stack.remote!;
      await stack.commit('silent', 'well');
      const promotion = await stack.users.approved('silent');
      remote.shut();
      const attempt = await stack.users.deploy(promotion);
      await until('the worker to fetch from it', () => gitOf(remote.url).length > 0);
      await stack.users.ask('sven', 'POST', `/deployments/${attempt}/cancel`, { reason: 'it hangs' });
      const asked = Date.now();
      const end = await stack.users.ended(attempt);
      const took = Date.now() - asked;
      demand(end.status === 'rolled-back', `it ended as ${end.status}: ${end.outcome}`);
      demand(/Nothing was touched/.test(end.outcome ?? ''), `it does not say so: ${end.outcome}`);
      // Without a limit of its own it would be heard after the remote was given up, 45 s later.
      demand(took < 30_000, `the cancel was heard after ${took} ms`);
      await until('git to be gone', () => gitOf(remote.url).length === 0, 10_000).catch(() =>
        demand(false, 'git goes on after the cancel'),
      );
      remote.open();
    },
  },
  {
    name: 'besides/half-open-database-under-a-deployment',
    stack: { proxied: true },
    async run({ stack, start, demand }) {
      const started = await start('well', {
        'build.js': `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
console.log('waiting'); setTimeout(() => console.log('built'), 6000);`,
      });
      await until('the build to wait', () =>
        stack.withDb(
          async (db) => (await db('deployment_log').where({ text: 'waiting' }).first()) !== undefined,
        ),
      );
      // Every connection of API and worker passes nothing any more; new ones do.
      stack.proxy!.goDark('present');
      const dark = Date.now();
      let answered = false;
      while (!answered && Date.now() - dark < 60_000) {
        answered = await stack.users.ask('sven', 'GET', '/promotions').then(
          () => true,
          () => false,
        );
        if (!answered) await sleep(200);
      }
      demand(answered, 'the API did not answer again within a minute');
      await started.ends('succeeded');
    },
  },
];
