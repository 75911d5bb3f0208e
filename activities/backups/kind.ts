import type { TargetConfig } from '../../domain/config';
import type { StepContext } from '../step';
import { filesBackup } from './files';
import { postgresBackup } from './postgres';

/**
 * How a target's data is backed up: one file for each kind. A backup is one file; what is written beside it in the record
 * says when it is still what was made.
 */
export interface BackupKind {
  /** What the file's name ends with. */
  extension: string;
  /** In plain words, what is backed up. */
  what: string;
  /**
   * Writes a backup and proves that it can be restored.
   * @param file does not exist yet.
   * @throws a verdict that names what cannot be backed up or would not come back. What it wrote is removed then.
   */
  make(context: StepContext, file: string): Promise<Made>;
  /** Whether the file is what was made. */
  isWhole(file: string, made: Made): Promise<boolean>;
  /**
   * Puts the data back, all of it or none. Harmless when repeated.
   * @param more what the process that does it checks first, under the target's lock.
   */
  restore(context: StepContext, file: string, fence: number, more?: object): Promise<void>;
}
export interface Made {
  sha256: string;
  bytes: number;
  /** Files and folders, or tables. */
  entries: number;
  /** What people should know of it: what was left out, say. */
  detail?: string;
}

export const backupKind = (config: TargetConfig['backup']): BackupKind =>
  config.kind === 'postgres' ? postgresBackup(config) : filesBackup(config);
