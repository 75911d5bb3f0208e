import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Targets } from '../domain/config';
import type { Changes } from '../db/changes';
import type { Db } from '../db/connect';
import type { RunUrl } from '../db/views';

/** What the API works with. It never touches a target: effects are the workflows'. */
export interface ApiDeps {
  db: Db;
  changes: Changes;
  temporal: Client;
  targets(): Targets;
  /** Resolves a revision to a commit in a target's repository. */
  resolveRevision(target: string, repository: string, revision: string): Promise<string>;
  runUrl: RunUrl;
  /** Folder of the built Operations page. */
  webDir: string;
  log: Logger;
  /** Embedded mode: the tokens of the sample people, for whoever knows the code that `up` printed. */
  signIn?: { code: string; tokens: Record<string, string> };
  /** How long a request waits for its verdict before it answers "accepted". */
  verdictMs: number;
}
