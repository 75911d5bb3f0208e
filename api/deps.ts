import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Targets } from '../domain/config';
import type { OidcConfig } from '../domain/service-config';
import type { Changes } from '../db/changes';
import type { Db } from '../db/connect';
import type { RunUrl } from '../db/views';
import type { Windows } from '../db/windows';
import type { Comparison } from '../domain/comparison';
import type { MirrorProgress } from '../domain/mirror';
import type { Keyring } from '../temporal-config/signing';

/** Embedded mode: a link with a code that is good once. */
export interface LocalSignIn {
  kind: 'local';
  /** Whether the code is the present one; from then on it is not. */
  redeem(code: string): boolean;
  /** Whom a local session may be. */
  people: readonly string[];
}
/** By an OpenID provider. */
export interface OidcSignIn {
  kind: 'oidc';
  oidc: OidcConfig;
  publicUrl: string;
  clientSecret(): string | undefined;
}
export type SignIn = LocalSignIn | OidcSignIn;

/** What the API works with. It never touches a target: effects are the workflows'. */
export interface ApiDeps {
  db: Db;
  changes: Changes;
  temporal: Client;
  targets(): Targets;
  windows: Windows;
  /**
   * Copies a target's repository as it stands at `since` or later; when that takes longer than `patienceMs` it goes on by
   * itself. @returns how far it is, undefined when it is done.
   */
  mirror(
    target: string,
    repository: string,
    asked: { since: number; patienceMs: number },
  ): Promise<MirrorProgress | undefined>;
  /** Resolves a revision to a commit in a target's repository, as it stands at `since` or later. */
  resolveRevision(target: string, repository: string, revision: string, since: number): Promise<string>;
  /** What a commit brings over another one; null: over nothing. */
  compare(target: string, repository: string, from: string | null, to: string): Promise<Comparison>;
  runUrl: RunUrl;
  /** Folder of the built Operations page. */
  webDir: string;
  log: Logger;
  /** Signs what is said to workflows. */
  keyring: Keyring;
  /** How people sign in; without any, tokens alone count. */
  signIn?: SignIn;
  /** Where it is reached, such as `https://signalbox.example.com`; the first is the one it calls itself. */
  origins(): readonly string[];
  /** What Temporal's SDK counts in this process, as Prometheus reads it. */
  sdkMetrics?(): Promise<string>;
  /** How long a request waits for its verdict before it answers "accepted". */
  verdictMs: number;
  /** How long a request waits for a repository to be copied before it answers "accepted"; 5 s when left out. */
  copyMs?: number;
}
