import { copyFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Scenario } from '../scenario';
import type { Stack } from '../stack';

/** Backups that are not what they were, when they are needed. */
const damages: Record<string, (file: string, another: string) => void> = {
  truncated: (file) => truncateSync(file, Math.floor(statSync(file).size / 2)),
  'bit-flipped': (file) => {
    const bytes = readFileSync(file);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    writeFileSync(file, bytes);
  },
  'of-another-deployment': (file, another) => copyFileSync(another, file),
};
const folderOf = (stack: Stack) => join(stack.state, 'backups', 'shop');

const damaged = Object.entries(damages).map(([what, damage]): Scenario => ({
  name: `besides/backup-${what}`,
  async run({ stack, start, demand }) {
    const another = join(folderOf(stack), readdirSync(folderOf(stack))[0]!);
    writeFileSync(join(stack.data, 'orders.txt'), `orders that only this backup has ${Math.random()}\n`);
    stack.barrier.arm('undo-migrate/before');
    const started = await start('sick');
    await stack.barrier.reached('undo-migrate/before');
    const file = join(
      folderOf(stack),
      readdirSync(folderOf(stack)).find((name) => name.startsWith(`${started.attempt}@`))!,
    );
    const whole = readFileSync(file);
    const migrated = readFileSync(join(stack.data, 'orders.txt'), 'utf8');
    damage(file, another);
    stack.barrier.open('undo-migrate/before');
    const failed = await started.ends('rollback-failed');
    demand(/missing or altered/.test(failed.waitingFor ?? ''), `it does not say why: ${failed.waitingFor}`);
    demand(
      readFileSync(join(stack.data, 'orders.txt'), 'utf8') === migrated,
      'data was changed although the backup is not what it was',
    );
    // An SRE puts the right file back, and lets the undo be tried again.
    writeFileSync(file, whole);
    await stack.users.ask('sven', 'POST', `/deployments/${started.attempt}/resolve`, {
      action: 'retry',
      reason: 'the backup is back',
    });
    await started.ends('rolled-back');
    demand(
      readFileSync(join(stack.data, 'orders.txt'), 'utf8').startsWith('orders that only this backup has'),
      'the data of the backup was not restored',
    );
  },
}));

/** A worker that is killed while a backup is unpacked to prove it leaves nothing that stays. */
const killed: Scenario = {
  name: 'besides/backup-killed-in-its-proof',
  async run({ stack, start, demand }) {
    stack.barrier.arm('backup/proof');
    const started = await start();
    await stack.barrier.reached('backup/proof');
    const mine = () => readdirSync(folderOf(stack)).filter((name) => name.startsWith(`${started.attempt}@`));
    demand(
      mine().some((name) => name.endsWith('.proof')),
      'nothing is being proven',
    );
    stack.worker.signal('SIGKILL');
    await stack.worker.ended;
    stack.barrier.arm('backup/proof');
    stack.worker = await stack.startWorker();
    // Held again: by now what the killed try wrote is gone, and only what this one writes is there.
    await stack.barrier.reached('backup/proof');
    const tries = new Set(mine().map((name) => name.split('.').slice(0, 3).join('.')));
    demand(tries.size === 1, `of ${tries.size} tries something lies there: ${mine().join(', ')}`);
    stack.barrier.open('backup/proof');
    await started.ends('succeeded');
  },
};

export const backups: Scenario[] = [...damaged, killed];
