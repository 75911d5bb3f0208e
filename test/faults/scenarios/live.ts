import { mkdirSync, readFileSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';
import { until } from '../../helpers/until';

/** What is live is not what Signalbox put there, or what it was could not live with what changed since. */

/** Somebody switches the target past Signalbox, to a release that another tool made. @returns the link. */
function byHand(stack: Stack, name: string): string {
  const link = join('..', 'elsewhere', name);
  mkdirSync(join(stack.folder, 'elsewhere', name), { recursive: true });
  symlinkSync(link, join(stack.root, 'by-hand'));
  renameSync(join(stack.root, 'by-hand'), join(stack.root, 'current'));
  stack.byHand.push(link);
  return link;
}
const live = (stack: Stack) => readlinkSync(join(stack.root, 'current'));

async function killWorker(stack: Stack): Promise<void> {
  stack.worker.signal('SIGKILL');
  await stack.worker.ended;
  stack.worker = await stack.startWorker();
}

/** What a reload needs to know of the schema: a release serves only data that it can read. */
const migrate = `const fs = require('node:fs');
fs.appendFileSync(process.argv[2], Date.now() + ' migrated to ' + fs.readFileSync('version.txt', 'utf8'));
fs.writeFileSync(process.argv[2] + '.schema', fs.existsSync('schema') ? fs.readFileSync('schema', 'utf8') : 'one');`;
const serve = `const fs = require('node:fs');
const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : 'one');
const [needs, has] = [read('current/schema'), read('../data/orders.txt.schema')];
if (process.env.SIGNALBOX_RELEASE && needs !== has) {
  console.error('it does not start: it needs schema ' + needs + ', the data has ' + has);
  process.exit(1);
}`;

export const lives: Scenario[] = [
  {
    // Its rename and its record are not one transaction: whoever tries again finds neither of its own making.
    name: 'besides/drifted-before-it-was-recorded',
    async run({ stack, demand }) {
      await stack.commit('drifts', 'well');
      const promotion = await stack.users.approved('drifts');
      stack.barrier.arm('swap/switched');
      const attempt = await stack.users.deploy(promotion);
      await stack.barrier.reached('swap/switched');
      const theirs = byHand(stack, 'hot-fix');
      await killWorker(stack);
      const asked = await stack.users.ended(attempt, 180_000);
      demand(asked.status === 'rollback-failed', `nobody is asked, it is ${asked.status}: ${asked.outcome}`);
      demand(
        /no data was restored/.test(asked.waitingFor ?? ''),
        `it does not say what became of the data: ${asked.waitingFor}`,
      );
      await stack.users.ask('sven', 'POST', `/deployments/${attempt}/resolve`, {
        action: 'accept',
        reason: 'theirs stays',
      });
      const end = await until('its end', async () => {
        const { status, outcome } = await stack.users.ended(attempt, 180_000);
        return status === 'rolled-back' && { outcome };
      });
      demand(/^Drifted: .*hot-fix/.test(end.outcome ?? ''), `it does not say what happened: ${end.outcome}`);
      demand(live(stack) === theirs, `${live(stack)} is live, and not what somebody else put there`);
      demand(
        readFileSync(join(stack.data, 'orders.txt'), 'utf8').includes('migrated to drifts'),
        'data went back beneath what somebody else made live',
      );
      const target = await stack.users.ask<{ current: object | null; observed: { what: string } | null }>(
        'carla',
        'GET',
        '/targets/shop',
      );
      demand(target.current === null, `the record says that ${JSON.stringify(target.current)} is live`);
      demand(target.observed?.what.includes('hot-fix') === true, `seen: ${JSON.stringify(target.observed)}`);
    },
  },
  {
    name: 'besides/returns-to-what-another-tool-made',
    async run({ stack, start, demand }) {
      const theirs = byHand(stack, 'v0');
      stack.barrier.arm('swap/switched');
      const started = await start('sick');
      await stack.barrier.reached('swap/switched');
      await killWorker(stack);
      const end = await started.ends('rolled-back');
      demand(live(stack) === theirs, `${live(stack)} is live, and not ${theirs}`);
      demand(
        /without a version/.test(end.outcome ?? ''),
        `it does not say how it was checked: ${end.outcome}`,
      );
    },
  },
  {
    name: 'besides/old-release-cannot-live-with-the-migration',
    stack: { reload: [process.execPath, '-e', serve], undoAlarmSeconds: 60 },
    async run({ stack, start, demand }) {
      writeFileSync(join(stack.data, 'orders.txt.schema'), 'one');
      stack.barrier.arm('undo-migrate/middle');
      const started = await start('sick', { 'src/schema': 'two', 'migrate.js': migrate });
      await stack.barrier.reached('undo-migrate/middle');
      demand(
        stack.prober.so().looks.at(-1)?.failure !== undefined,
        'something is live while the data goes back',
      );
      await killWorker(stack);
      await started.ends('rolled-back');
      demand(
        readFileSync(join(stack.data, 'orders.txt.schema'), 'utf8') === 'one',
        'its data did not go back',
      );
    },
  },
];
