import type { Observed, Restorable } from '../../domain/observed';
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
  /** What is live now, exactly. */
  observe(): Promise<Observed>;
  /** How a process asks for that under the target's lock. */
  asked: Pick<Guard, 'observe' | 'link'>;
  /**
   * Puts a release beside the others, or right again where it was changed on disk; what reads it finds each file whole.
   * @param archive finds its archive, when it is needed.
   * @param name of the attempt that needs it: what a killed try leaves in the room is `<name>.<any>.unpack`.
   * @param say gets what people should know.
   * @returns its folder.
   */
  install(
    release: string,
    archive: () => Promise<string>,
    name: string,
    say?: (text: string) => void,
  ): Promise<string>;
  /**
   * Makes something live, or takes out what is. Harmless when it is live already. Compares under the target's lock.
   * @param hook runs one of the target's commands under the same fencing number.
   * @returns what happened. refused: a newer number acted. drifted: what is live is neither `to` nor in `over`, so that
   * nothing was switched.
   */
  switchTo(to: Restorable, switching: Switching, hook: Hook): Promise<Switched>;
  /**
   * Removes all but the newest `keep` releases, those named and the one that is current; nothing once a higher number than
   * `fence` has acted: then another deployment has the target, and may be about to make one of them current.
   * @returns the digests removed.
   */
  prune(keep: number, always: string[], fence: number): Promise<string[]>;
}
export interface Switching {
  fence: number;
  /** The attempt and its step, for the journal. */
  by: string;
  /** Which Signalbox it is, in which incarnation of its database. */
  origin?: string;
  /** What may be replaced. */
  over: Observed[];
  /** Whether it undoes a swap. */
  undo?: boolean;
}
export interface Switched {
  result: 'switched' | 'already' | 'refused' | 'drifted';
  from: Observed;
  fence: number;
}
/**
 * @param more what the journal says besides.
 * @param guard what has to be live for the command to run; it is asked under the target's lock.
 * @returns what was live instead, when the command was not run. @throws when the command fails.
 */
export type Hook = (
  what: string,
  command: { argv: string[]; timeoutSeconds: number },
  env: Record<string, string>,
  more?: object,
  guard?: Guard,
) => Promise<{ drifted: string } | void>;
export interface Guard {
  /** Prints what is live, as its last line. */
  observe?: { argv: string[]; timeoutSeconds: number };
  /** The root of a target whose `current` link says it. */
  link?: string;
  /** Texts that may be live; empty: nothing is. */
  over: string[];
}

/** @param hidden what stands before the argv of what observes it, so that it does not see the state directory. */
export const createDriver = (config: TargetConfig['driver'], hidden: string[] = []): Driver =>
  config.kind === 'command' ? commandDriver(config, hidden) : directoryDriver(config);
