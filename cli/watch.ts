import { setTimeout as sleep } from 'node:timers/promises';
import { isTerminal } from '../domain/machines';
import type { DeploymentView } from '../domain/schemas';
import { ApiProblem, type Client } from './client';
import { patience, type Patiently } from './patience';
import { troubleInWords } from '../domain/trouble';

const everyMs = 300;

/** Follows an attempt to its end: each change of state, each step, each try that was in vain, and its log if asked. */
export async function watch(
  client: Client,
  key: string,
  say: (line: string) => void,
  options: {
    log: boolean;
    until?: (seen: DeploymentView) => boolean;
    patiently?: Patiently;
    /** It was accepted but has not begun, so that nothing is to be read of it yet: what is said meanwhile. */
    accepted?: string;
  },
): Promise<DeploymentView> {
  const told = new Set<string>();
  /** @param once what it is told once of, where its words change meanwhile. */
  const tell = (line: string, once = line) => {
    if (told.has(once)) return;
    told.add(once);
    say(line);
  };
  const { patiently = patience(client, say), accepted } = options;
  const read = () =>
    client.deployment(key).catch((thrown: unknown) => {
      if (accepted && thrown instanceof ApiProblem && thrown.status === 404) return undefined;
      throw thrown;
    });
  let after = 0;
  for (;;) {
    const seen = await patiently(read);
    if (!seen) {
      tell(`  (${accepted})`);
      await sleep(everyMs);
      continue;
    }
    if (options.log) await follow();
    if (seen.waitingFor) tell(`${key} ${seen.status}: waits for ${seen.waitingFor}`);
    else tell(`${key} is ${seen.status}`);
    for (const step of seen.steps)
      if (step.status === 'running')
        if (step.trouble) {
          // When the next try begins, and that it is being made, is one trouble.
          const { message, tries } = step.trouble;
          const line = troubleInWords(step.trouble, new Date().toISOString());
          tell(`  ${step.name}: ${line}`, `${step.name} ${tries} ${message}`);
        } else tell(`  ${step.name}: running`);
      else tell(`  ${step.name}: ${step.status}${step.detail ? `, ${step.detail}` : ''}`);
    if (isTerminal('deployment', seen.status) || options.until?.(seen)) {
      if (options.log) await follow();
      if (seen.outcome) say(`${key}: ${seen.outcome}`);
      return seen;
    }
    await sleep(everyMs);
  }

  async function follow(): Promise<void> {
    for (;;) {
      const { items, nextCursor } = await patiently(() => client.log(key, after));
      for (const { seq, step, stream, text } of items)
        say(`  ${String(seq).padStart(5)} ${step} ${stream === 'err' ? '! ' : '| '}${text}`);
      after = items.at(-1)?.seq ?? after;
      if (!nextCursor) return;
    }
  }
}
