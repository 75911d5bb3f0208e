import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { TargetConfig } from '../../domain/config';
import { textOf } from '../../domain/observed';
import type { Driver, Switched } from './driver';
import { observeLink } from './link.js';
import { releasesIn } from './releases';

/**
 * A target that is a folder: `releases/<digest>` beside a `current` link that is renamed into place, and a command that
 * lets whatever serves it know.
 */
const switcher = join(__dirname, 'switch-current.js');
const switchTimeoutMs = 40_000;

export type DirectoryConfig = Extract<TargetConfig['driver'], { kind: 'directory' }>;

export function directoryDriver({ root, reload }: Pick<DirectoryConfig, 'root' | 'reload'>): Driver {
  const observe = () => Promise.resolve(observeLink(root));
  const { install, prune } = releasesIn(root, async () => textOf(await observe()));
  return {
    room: join(root, '.signalbox'),
    install,
    prune,
    observe,
    async switchTo(to, { fence, by, over }, hook) {
      const switched = await runSwitcher(JSON.stringify({ root, to, over, fence, by }));
      if (reload && ['switched', 'already'].includes(switched.result))
        await hook('reload', reload, { SIGNALBOX_RELEASE: to.kind === 'nothing' ? '' : textOf(to)! });
      return switched;
    },
  };
}

async function runSwitcher(input: string): Promise<Switched> {
  const child = spawn(process.execPath, [switcher, input], {
    env: { PATH: process.env.PATH },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // First of all: where this host has no file to spare there is neither a process nor its output.
  const ended = new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (...end) => resolve(end));
  });
  let out = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), switchTimeoutMs);
  const [code, signal] = await ended.finally(() => clearTimeout(timer));
  if (code !== 0) {
    const why = /Error: (.*)/.exec(err)?.[1] ?? (signal ? `ended by ${signal}` : `exit ${code}`);
    throw new Error(`switching the current link failed: ${why}`);
  }
  return JSON.parse(out) as Switched;
}
