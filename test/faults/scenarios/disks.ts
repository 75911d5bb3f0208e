import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { told, type Scenario } from '../scenario';

/** Full disks: small file systems in memory, mounted where something is written, and filled. */
const mounted = (place: string, megabytes: number) => {
  mkdirSync(place, { recursive: true });
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', place], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`could not mount: ${stderr}`);
};
const unmounted = (place: string) => void spawnSync('umount', ['-l', place]);
export const whyNoMounts = (): string | undefined =>
  process.getuid?.() !== 0 || spawnSync('mount', ['--version']).status !== 0
    ? 'mounting small file systems needs root'
    : undefined;

/** Leaves no byte free. */
function fill(place: string): string {
  const file = join(place, 'ballast');
  const { bavail, bsize } = statfsSync(place);
  try {
    writeFileSync(file, Buffer.alloc(bavail * bsize));
  } catch {
    // The last page may be taken by the file's own entry.
  }
  return file;
}

const big = { 'src/big.bin': 'z'.repeat(300_000) };

const ofSteps = [['artifacts', 'build'] as const, ['backups', 'backup'] as const].map(
  ([folder, step]): Scenario => ({
    name: `besides/disk-full-for-${folder}`,
    whyNot: whyNoMounts,
    async run({ stack, start, demand }) {
      const place = join(stack.state, folder);
      rmSync(join(place, 'shop'), { recursive: true, force: true });
      mounted(place, 4);
      try {
        mkdirSync(join(place, 'shop'));
        writeFileSync(join(stack.data, 'big.bin'), Buffer.alloc(300_000, 1));
        const ballast = fill(place);
        const started = await start('well', big);
        await told(stack, `${step} met a fault`);
        // It is tried again until there is room; nothing was swapped meanwhile.
        rmSync(ballast);
        const end = await started.ends('succeeded');
        demand(end.steps.find(({ name }) => name === step)?.status === 'done', `${step} is not done`);
      } finally {
        unmounted(place);
      }
    },
  }),
);

/** A disk that is nearly full does not fill up with what failed tries leave: it is enough that there is room for one. */
const ofLeftovers: Scenario = {
  name: 'besides/disk-full-heals-for-backups',
  whyNot: whyNoMounts,
  async run({ stack, start, demand }) {
    const place = join(stack.state, 'backups');
    rmSync(join(place, 'shop'), { recursive: true, force: true });
    mounted(place, 1);
    try {
      mkdirSync(join(place, 'shop'));
      // What no compression makes smaller: a little more than half of the disk.
      writeFileSync(join(stack.data, 'noise.bin'), randomBytes(600_000));
      writeFileSync(join(place, 'ballast'), Buffer.alloc(600_000));
      const started = await start();
      await told(stack, 'there is no room for the backup');
      rmSync(join(place, 'ballast'));
      const end = await started.ends('succeeded');
      demand(end.steps.find(({ name }) => name === 'backup')?.status === 'done', 'backup is not done');
      demand(readdirSync(join(place, 'shop')).length === 1, 'what failed tries wrote is there still');
    } finally {
      unmounted(place);
    }
  },
};

/** A server whose own disk is full: it fails or dies, and goes on once there is room. */
const ofServers = [['postgres', 300] as const, ['temporal', 120] as const].map(
  ([server, megabytes]): Scenario => ({
    name: `besides/disk-full-for-${server}`,
    whyNot: whyNoMounts,
    stack: {
      prepare(servers) {
        mounted(join(servers, server), megabytes);
        return () => unmounted(join(servers, server));
      },
    },
    async run({ stack, start, wrong }) {
      stack.barrier.arm('backup/asked');
      const started = await start();
      await stack.barrier.reached('backup/asked');
      const ballast = fill(join(stack.folder, 'servers', server));
      stack.barrier.open('backup/asked');
      await sleep(5_000);
      rmSync(ballast);
      await started.ends('succeeded').catch((thrown: unknown) => wrong(`I9: ${String(thrown)}`));
    },
  }),
);

/** What a killed worker had unpacked by half takes no room once its deployment has ended. */
const ofTheKilled: Scenario = {
  name: 'besides/killed-while-unpacking',
  async run({ stack, start, demand }) {
    const room = join(stack.root, '.signalbox');
    stack.barrier.arm('unpack/middle');
    const started = await start();
    await stack.barrier.reached('unpack/middle');
    const half = readdirSync(room).filter((name) => name.endsWith('.unpack'));
    demand(half.length === 1, `${half.length} folders are being unpacked`);
    stack.worker.signal('SIGKILL');
    await stack.worker.ended;
    stack.worker = await stack.startWorker();
    stack.barrier.open('unpack/middle');
    await started.ends('succeeded');
  },
};

export const disks: Scenario[] = [...ofSteps, ofLeftovers, ...ofServers, ofTheKilled];
