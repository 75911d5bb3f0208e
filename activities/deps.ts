import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Targets } from '../domain/config';
import type { NotificationsConfig, Reference, Service } from '../domain/service-config';
import type { Db } from '../db/connect';
import type { Journal } from '../db/journal';
import type { Windows } from '../db/windows';
import type { Keyring } from '../temporal-config/signing';
import type { Source } from './git';
import type { Sandbox } from './sandbox';

/** What the steps on a target act through, on whichever host they run. */
export interface TargetDeps {
  journal: Journal;
  /** The targets file as last read. */
  targets(): Targets;
  source: Source;
  /** Workspaces, artifacts and backups lie here. */
  stateDir: string;
  log: Logger;
  /** What this host keeps builds and hooks in. */
  sandbox: Sandbox;
  /** Of a runner: the only target whose steps are done here. */
  only?: string;
  /** How many steps this worker does at once; left out: a hundred. */
  slots?: number;
}

/** What the activities act through. Made once, by the worker. */
export interface Deps extends TargetDeps {
  db: Db;
  windows: Windows;
  /** Where others are told, and the secret by which that is signed. */
  notifications: { config: NotificationsConfig; secretOf(reference: Reference): string };
  /** How long logs and histories are kept. */
  retention: Service['retention'];
  temporal: Client;
  /** Verifies what the API says to workflows, and signs what is recorded. */
  keyring: Keyring;
}
