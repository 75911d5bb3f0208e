import { setTimeout as sleep } from 'node:timers/promises';
import { isTerminal } from '../domain/machines';
import type { DeploymentView } from '../domain/schemas';
import { Unreachable, type Client } from './client';
import { troubleInWords } from '../domain/trouble';
import { printable } from '../domain/printable';

const everyMs = 300;

/** Follows an attempt to its end: each change of state, each step, and its log when `showLog` says so. */
export async function watch(
  client: Client,
  key: string,
  sayRaw: (line: string) => void,
  options: { log: boolean; until?: (seen: DeploymentView) => boolean },
): Promise<DeploymentView> {
  const say = (line: string) => sayRaw(printable(line));
  const told = new Set<string>();
  const tell = (line: string) => {
    if (told.has(line)) return;
    told.add(line);
    say(line);
  };
  let after = 0;
  for (;;) {
    let seen: DeploymentView;
    try {
      seen = await client.deployment(key);
      if (options.log) after = await follow(client, key, after, say);
    } catch (thrown) {
      // The control plane may be restarted while one watches; the deployment goes on.
      if (!(thrown instanceof Unreachable) || told.size === 0) throw thrown;
      tell(`  (${thrown.message} Waiting for it.)`);
      await sleep(1_000);
      continue;
    }
    if (seen.waitingFor) tell(`${key} ${seen.status}: waits for ${seen.waitingFor}`);
    else tell(`${key} is ${seen.status}`);
    for (const step of seen.steps)
      if (step.status === 'running')
        tell(
          `  ${step.name}: ${step.trouble ? troubleInWords(step.trouble, new Date().toISOString()) : 'running'}`,
        );
      else tell(`  ${step.name}: ${step.status}${step.detail ? `, ${step.detail}` : ''}`);
    if (isTerminal('deployment', seen.status) || options.until?.(seen)) {
      if (options.log) await follow(client, key, after, say);
      if (seen.outcome) say(`${key}: ${seen.outcome}`);
      return seen;
    }
    await sleep(everyMs);
  }
}

async function follow(
  client: Client,
  key: string,
  after: number,
  say: (line: string) => void,
): Promise<number> {
  for (;;) {
    const { items, nextCursor } = await client.log(key, after);
    for (const { seq, step, stream, text } of items)
      say(`  ${String(seq).padStart(5)} ${step} ${stream === 'err' ? '! ' : '| '}${text}`);
    after = items.at(-1)?.seq ?? after;
    if (!nextCursor) return after;
  }
}
