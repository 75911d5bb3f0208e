import { setTimeout as sleep } from 'node:timers/promises';
import { fit } from '../domain/input';
import type { NewLine } from '../db/log';
import { logLines } from './metrics';

/**
 * Writes a step's output line by line to the record, in batches. Memory is bounded: while more than `maxLines` or
 * `maxChars` wait, `ready()` holds the producer back. Lines wait through a database that is away.
 */
export interface StepLog {
  write(stream: NewLine['stream'], text: string): void;
  /** The text without secrets and without what the database can not hold. */
  clean(text: string): string;
  ready(): Promise<void> | undefined;
  /** Resolves when every line is stored; rejects when `signal` aborts first. */
  close(): Promise<void>;
}

const maxLines = 10_000;
const maxChars = 2_000_000;
const batchLines = 5_000;
const batchChars = 1_000_000;
const everyMs = 100;

export function openLog(
  append: (lines: NewLine[]) => Promise<void>,
  redact: (text: string) => string,
  signal: AbortSignal,
): StepLog {
  const waiting: NewLine[] = [];
  let chars = 0;
  let flushing: Promise<void> | undefined;

  const full = () => waiting.length > maxLines || chars > maxChars;
  let hurry: (() => void) | undefined;
  const held = new Set<() => void>();
  const letGo = () => {
    held.forEach((go) => go());
    held.clear();
  };
  const nextBatch = () => {
    let size = 0;
    const end = waiting.findIndex(({ text }) => (size += text.length) > batchChars);
    return waiting.slice(0, Math.min(batchLines, end < 0 ? waiting.length : Math.max(1, end)));
  };
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const lines = nextBatch();
      try {
        await append(lines);
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        await sleep(500);
        continue;
      }
      waiting.splice(0, lines.length);
      logLines.inc(lines.length);
      chars -= lines.reduce((sum, { text }) => sum + text.length, 0);
      if (!full()) letGo();
    }
  };
  const start = () => {
    if (flushing) return;
    flushing = Promise.race([sleep(everyMs), new Promise<void>((now) => (hurry = now))])
      .then(flush)
      .finally(() => {
        flushing = undefined;
        letGo();
      });
    // Attached once, not for each line: while lines keep coming this promise lives as long as the step.
    flushing.catch(() => undefined);
  };
  const clean = (text: string) => fit(redact(text));

  return {
    clean,
    write(stream, text) {
      const cleaned = clean(text);
      waiting.push({ at: new Date(), stream, text: cleaned });
      chars += cleaned.length;
      start();
      if (waiting.length >= batchLines || chars >= batchChars) hurry?.();
    },
    ready: () => (full() ? new Promise((go) => held.add(go)) : undefined),
    async close() {
      await flushing;
      await flush();
    },
  };
}
