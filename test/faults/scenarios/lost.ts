import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Scenario, Scene } from '../scenario';
import type { Stack } from '../stack';
import { until } from '../../helpers/until';

/** Temporal loses everything: its file is gone, and the namespace is made anew, empty. */
async function loseTemporal(stack: Stack): Promise<void> {
  const [pid] = stack.pidsOf('temporal');
  const folder = join(stack.folder, 'servers', 'temporal');
  // Removed while it still runs: what it does until it is killed goes nowhere.
  for (const name of ['temporal.db', 'temporal.db-wal', 'temporal.db-shm'])
    rmSync(join(folder, name), { force: true });
  process.kill(pid!, 'SIGKILL');
  await until(
    'another server',
    () => stack.pidsOf('temporal')[0] !== pid && stack.pidsOf('temporal').length > 0,
  );
  await stack.temporalAnswers();
}

const lostIn = (point: string, release: 'well' | 'sick', status: string): Scenario => ({
  name: `besides/temporal-lost-in-${point.replace('/', '-')}`,
  async run(scene: Scene) {
    const { stack, demand } = scene;
    // Beside the deployment: a request that waits for its approval.
    await stack.commit('waits', 'well');
    const waiting = await stack.users.ask<{ key: string }>('carla', 'POST', '/promotions', {
      target: 'shop',
      revision: 'waits',
      title: 'waits for approval',
      change: { type: 'normal' },
      submit: true,
    });
    stack.barrier.arm(point);
    const started = await scene.start(release);
    await stack.barrier.reached(point);
    await loseTemporal(stack);
    stack.barrier.open(point);
    const end = await started.ends(status);
    demand(
      /has vanished from Temporal/.test(end.outcome ?? ''),
      `it does not say what happened: ${end.outcome}`,
    );
    const taken = await stack.withDb((db) =>
      db('audit').where({ action: 'deployment.taken-over', subject: end.key }),
    );
    demand(taken.length === 1, `${taken.length} audit entries say that it was taken over`);

    const rfc = waiting.key.replace('CP', 'RFC');
    await until('its request to be followed again', async () => {
      const rows = await stack.withDb((db) =>
        db('audit').where({ action: 'change-request.followed-again', subject: rfc }),
      );
      return rows.length > 0;
    });
    await stack.users.ask('amir', 'POST', `/change-requests/${rfc}/decisions`, { decision: 'approve' });
    const { status: late } = await stack.users.ended(await stack.users.deploy(waiting.key));
    demand(late === 'succeeded', `what was approved afterwards ended as ${late}`);
  },
});

export const lost: Scenario[] = [
  lostIn('build/middle', 'well', 'rolled-back'),
  lostIn('swap/effect-unreported', 'well', 'rolled-back'),
  lostIn('health-check/middle', 'well', 'succeeded'),
  lostIn('undo-swap/middle', 'sick', 'rolled-back'),
];
