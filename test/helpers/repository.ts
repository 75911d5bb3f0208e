import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { git } from '../../activities/git';

/** A real git repository of a test. */
export interface Repository {
  folder: string;
  write(name: string, text: string): void;
  /** Commits everything that is there. @param tag put on it, when given. */
  commit(message: string, tag?: string): Promise<void>;
}

export async function makeRepository(folder: string): Promise<Repository> {
  await git(['init', '--quiet', '--initial-branch=main', folder]);
  const at = (...args: string[]) => git(['-C', folder, ...args]);
  return {
    folder,
    write(name, text) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    },
    async commit(message, tag) {
      await at('add', '--all');
      const author = ['-c', 'user.name=t', '-c', 'user.email=t@localhost', '-c', 'commit.gpgsign=false'];
      await at(...author, 'commit', '--quiet', '--allow-empty', '-m', message);
      if (tag) await at('tag', tag);
    },
  };
}
