import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TargetConfig } from '../../domain/config';
import { inWords, isDigest, isSame, nothing, releaseOr, textOf, type Observed } from '../../domain/observed';
import { outputOf } from '../pipes';
import type { Driver } from './driver';
import { heldIn } from './numbers';
import { releasesIn } from './releases';

/**
 * A target that the operator's own commands switch: `swap` makes a release live, `restore` puts back the one from before
 * (or takes the live one out of service, with SIGNALBOX_RELEASE empty), `observe` prints the digest of the one that is
 * live. Each may run again, and is told by its environment what to do. A process that is meant to stay (a server) has to be
 * started in a session of its own, without SIGNALBOX_WORK in its environment: whatever else a command leaves running is
 * ended with its step.
 */
export type CommandConfig = Extract<TargetConfig['driver'], { kind: 'command' }>;

/** @param hidden as for `createDriver`. */
export function commandDriver(config: CommandConfig, hidden: string[] = []): Driver {
  const { root, swap, restore, observe: observer } = config;
  const { install, prune, folderOf } = releasesIn(root, async () => textOf(await observe()));
  const room = join(root, '.signalbox');

  async function observe(): Promise<Observed> {
    await mkdir(root, { recursive: true });
    const said = await outputOf([...hidden, ...observer.argv], {
      cwd: root,
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
      timeoutMs: observer.timeoutSeconds * 1000,
    }).catch((thrown: unknown) => {
      throw new Error(`driver.observe (${observer.argv[0]}) could not say what is live`, { cause: thrown });
    });
    return liveOf(said);
  }

  return {
    room,
    install,
    prune,
    observe,
    asked: { observe: observer },
    async switchTo(to, { fence, over, undo }, hook) {
      const from = await observe();
      const { fence: before } = heldIn(room);
      if (fence < before) return { result: 'refused', from, fence: before };
      const release = textOf(to);
      // Run also when it is live already: the number is noted, and a command that was stopped half-way comes to its end.
      const stopped = await hook(
        undo ? 'restore' : 'swap',
        undo ? restore : swap,
        {
          SIGNALBOX_RELEASE: release ?? '',
          SIGNALBOX_RELEASE_DIR: release ? folderOf(release) : '',
          SIGNALBOX_RELEASE_BEFORE: textOf(from) ?? '',
          SIGNALBOX_FENCE: String(fence),
        },
        { from: textOf(from), to: release },
        { observe: observer, over: [to, ...over].map((live) => textOf(live) ?? '') },
      );
      if (stopped) return { result: 'drifted', from: liveOf(stopped.drifted), fence: before };
      const now = await observe();
      if (!isSame(now, to))
        throw new Error(
          `the ${undo ? 'restore' : 'swap'} command succeeded, but driver.observe says that ${inWords(now)} is live, not ${inWords(to)}`,
        );
      return { result: isSame(from, to) ? 'already' : 'switched', from, fence: before };
    },
  };
}

/** @param said what the observe command printed: its last line counts. */
function liveOf(said: string): Observed {
  const text = said.trim().split('\n').at(-1)!;
  if (text === '') return nothing;
  if (isDigest(text)) return releaseOr(text);
  return {
    kind: 'unrestorable',
    what: text,
    remedy:
      'Take it out of service, or let driver.observe print nothing while it is live, if a rollback need not bring it back',
  };
}
