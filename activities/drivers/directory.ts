import { join } from 'node:path';
import type { TargetConfig } from '../../domain/config';
import { textOf } from '../../domain/observed';
import type { Driver, Switched } from './driver';
import { observeLink } from './link.js';
import { releasesIn } from './releases';
import { runShort } from './short-process';

/**
 * A target that is a folder: `releases/<digest>` beside a `current` link that is renamed into place, and a command that
 * lets whatever serves it know.
 */
const switcher = join(__dirname, 'switch-current.js');

export type DirectoryConfig = Extract<TargetConfig['driver'], { kind: 'directory' }>;

export function directoryDriver({ root, reload }: Pick<DirectoryConfig, 'root' | 'reload'>): Driver {
  const observe = () => Promise.resolve(observeLink(root));
  const { install, prune } = releasesIn(root, async () => textOf(await observe()));
  return {
    room: join(root, '.signalbox'),
    install,
    prune,
    observe,
    asked: { link: root },
    async switchTo(to, { fence, by, origin, over }, hook) {
      const switched = await runShort<Switched>(
        switcher,
        { root, to, over, fence, by, origin },
        'switching the current link',
      );
      if (reload && ['switched', 'already'].includes(switched.result))
        await hook('reload', reload, { SIGNALBOX_RELEASE: to.kind === 'nothing' ? '' : textOf(to)! });
      return switched;
    },
  };
}
