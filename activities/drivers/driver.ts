import type { TargetConfig } from '../../domain/config';
import { commandDriver } from './command';
import { directoryDriver } from './directory';

/**
 * How releases become current on a kind of target: one file for each kind, one contract test for all. What it keeps of
 * its own (highest fencing number, journal, lock) lies in its `room`.
 */
export interface Driver {
  /** Where its fencing numbers are kept. */
  room: string;
  /** What the target runs now; null: nothing. */
  observe(): Promise<string | null>;
  /**
   * Puts a release beside the others, or right again where it was changed on disk; what reads it finds each file whole.
   * @param archive finds its archive, when it is needed.
   * @param key of the attempt that needs it: what a killed try leaves in the room is `<key>.<any>.unpack`.
   * @param say gets what people should know.
   * @returns its folder.
   */
  install(
    release: string,
    archive: () => Promise<string>,
    key: string,
    say?: (text: string) => void,
  ): Promise<string>;
  /**
   * Makes a release current, or none with null. Harmless when it is current already.
   * @param hook runs one of the target's commands under the same fencing number.
   * @returns what happened; refused: a newer number acted.
   */
  switchTo(release: string | null, switching: Switching, hook: Hook): Promise<Switched>;
  /** Removes all but the newest `keep` releases and those named. @returns the digests removed. */
  prune(keep: number, always: string[]): Promise<string[]>;
}
export interface Switching {
  fence: number;
  /** The attempt and its step, for the journal. */
  by: string;
  /** Whether it undoes a swap. */
  undo?: boolean;
}
export interface Switched {
  result: 'switched' | 'already' | 'refused';
  from: string | null;
  fence: number;
}
/** @param more what the journal says besides. @throws when the command fails. */
export type Hook = (
  what: string,
  command: { argv: string[]; timeoutSeconds: number },
  env: Record<string, string>,
  more?: object,
) => Promise<void>;

export const createDriver = (config: TargetConfig['driver']): Driver =>
  config.kind === 'command' ? commandDriver(config) : directoryDriver(config);
