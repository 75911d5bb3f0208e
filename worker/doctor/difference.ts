import type { Client } from '@temporalio/client';
import type { Sandbox } from '../../activities/sandbox';
import type { Targets } from '../../domain/config';
import type { Head } from '../../db/audit';
import type { Db } from '../../db/connect';
import type { Places } from '../stocktaking';

/** What does not fit between record, Temporal and targets, and what can be done. */
export interface Difference {
  kind:
    | 'database'
    | 'audit'
    | 'clock'
    | 'worker'
    | 'schedule'
    | 'search-attribute'
    | 'namespace'
    | 'row-without-workflow'
    | 'workflow-without-row'
    | 'paused'
    | 'waits-for-nothing'
    | 'fence'
    | 'target-gone'
    | 'undecided'
    | 'lost'
    | 'live'
    | 'not-observed'
    | 'backup-gone'
    | 'backup-unrecorded';
  /** What it is about: a key, a target, `database`. */
  subject: string;
  what: string;
  todo: string;
}

/** What is looked through. Everything is only read. */
export interface Examined {
  db: Db;
  temporal: Client;
  targets: Targets;
  /** What this host keeps hooks in. */
  sandbox: Sandbox;
  places: Places;
  heads: Head[];
  /** Why no worker signed what the trail says of a restore; left out where there are no keys. */
  whyForged?: (said: unknown) => string | undefined;
  /** What is younger may still be on its way; milliseconds, a minute by default. */
  settledMs?: number;
}

/** @param now of the database. */
export const isSettled = ({ settledMs = 60_000 }: Examined, since: Date, now: number): boolean =>
  now - since.getTime() > settledMs;
