import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../helpers/until';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';

/** Those that act beside each other: late tries, whoever tidies up, and a worker full of builds. */
const linesOf = (stack: Stack, text: string) =>
  stack.withDb((db) => db('deployment_log').where('text', 'like', text)) as Promise<{ text: string }[]>;

const pausedBeforeItReaps: Scenario = {
  name: 'besides/paused-between-begin-and-reap',
  async run({ stack, start, demand }) {
    const go = join(stack.folder, 'go');
    stack.barrier.arm('build/middle');
    const started = await start('well', {
      'build.js': `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
if (fs.existsSync('${go}-slow')) { console.log('building again'); const wait = setInterval(() => fs.existsSync('${go}') && clearInterval(wait), 50); }`,
    });
    await stack.barrier.reached('build/middle');
    // It leaves a folder behind, which the next try removes.
    stack.worker.signal('SIGKILL');
    await stack.worker.ended;
    writeFileSync(`${go}-slow`, '');
    stack.barrier.arm('build/begun');
    const paused = await stack.startWorker();
    await stack.barrier.reached('build/begun');
    paused.signal('SIGSTOP');
    stack.worker = await stack.startWorker();
    const building = async () => (await linesOf(stack, 'building again')).length;
    await until('the newer try to build', async () => (await building()) >= 1);
    stack.barrier.open('build/begun');
    paused.signal('SIGCONT');
    // It answers to this only when its step is over: until then it has done whatever it wanted to.
    paused.signal('SIGTERM');
    await paused.ended;
    writeFileSync(go, '');
    await started.ends('succeeded');
    demand((await building()) === 1, `it was built again ${await building()} times`);
    const killed = await linesOf(stack, '%killed % processes%');
    demand(killed.length === 0, `somebody killed the newer try's build: ${killed[0]?.text}`);
  },
};

const prunedBesideTheNext: Scenario = {
  name: 'besides/pruned-beside-the-next-holder',
  async run({ stack, start, deploy, demand }) {
    const { users, barrier } = stack;
    const file = join(stack.folder, 'config.yaml');
    const before = readFileSync(file, 'utf8');
    const reread = async (text: string) => {
      writeFileSync(file, text);
      for (const member of [stack.worker, stack.api]) member.signal('SIGHUP');
      await Promise.all([stack.worker, stack.api].map((member) => member.says(/Targets file read again/)));
    };
    await reread(before.replaceAll('kind: directory,', 'kind: directory, keepReleases: 1,'));
    const first = await users.approved('first');
    await deploy('succeeded');
    barrier.arm('tidy/prune');
    const tidying = await start();
    await barrier.reached('tidy/prune');
    // The lane is free: the next one finds its release on the disk and is about to make it current.
    barrier.arm('migrate/middle');
    const next = await users.deploy(first);
    await barrier.reached('migrate/middle');
    barrier.open('tidy/prune');
    const ended = await users.ended(tidying.attempt);
    demand(ended.status === 'succeeded', `the one before ended as ${ended.status}`);
    await until('its workflow to have tidied up', async () => {
      const { temporal } = ended;
      const { status } = await stack.temporal.client.workflow.getHandle(temporal.workflowId).describe();
      return status.name === 'COMPLETED';
    });
    barrier.open('migrate/middle');
    const end = await users.ended(next);
    demand(end.status === 'succeeded', `the next one ended as ${end.status}: ${end.outcome}`);
    const live = join(stack.root, 'current', 'version.txt');
    demand(
      existsSync(live) && readFileSync(live, 'utf8').trim() === 'first',
      'what is live is not its release',
    );
    await reread(before);
  },
};

const houses = 5;
const undoneBesideAFullHouse: Scenario = {
  name: 'besides/undone-beside-a-full-house',
  stack: { targets: houses, slots: 5 },
  async run({ stack, start, demand }) {
    const { users, barrier } = stack;
    const go = join(stack.folder, 'go');
    const others = Array.from({ length: houses }, (_, n) => `shop-${n + 1}`);
    barrier.arm('health-check/before');
    const sick = await start('sick');
    await barrier.reached('health-check/before');
    await stack.commit('slow', 'well', {
      'build.js': `const fs = require('node:fs');
fs.cpSync('src', 'dist', { recursive: true }); fs.copyFileSync('migrate.js', 'dist/migrate.js');
console.log('filling'); const wait = setInterval(() => fs.existsSync('${go}') && clearInterval(wait), 50);`,
    });
    const builds: string[] = [];
    for (const target of others) builds.push(await users.deploy(await users.approved('slow', target)));
    const filling = async () => (await linesOf(stack, 'filling')).length;
    await until('builds in every place', async () => (await filling()) >= 3);
    barrier.open('health-check/before');
    const end = await users.ended(sick.attempt);
    demand(end.status === 'rolled-back', `it ended as ${end.status}: ${end.outcome}`);
    demand((await filling()) === 3, `${await filling()} builds had slots while it was undone`);
    writeFileSync(go, '');
    for (const build of builds) {
      const { status, outcome } = await users.ended(build);
      demand(status === 'succeeded', `${build} ended as ${status}: ${outcome}`);
    }
  },
};

export const neighbours: Scenario[] = [pausedBeforeItReaps, prunedBesideTheNext, undoneBesideAFullHouse];
