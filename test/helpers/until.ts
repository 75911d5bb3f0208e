import { setTimeout as sleep } from 'node:timers/promises';

/**
 * How long anything that will surely come is waited for. It only ends hangs: on a busy machine everything takes many
 * times as long as on an idle one, so a bound near to what is usual would make a slow machine look like a fault.
 */
export const patienceMs = 240_000;

/**
 * Waits for a condition. @param withinMs only where the bound itself is what is promised, and then with room for a busy
 * machine. @throws naming it when it does not come.
 */
export async function until<T>(
  what: string,
  read: () => Promise<T | undefined | false> | T | undefined | false,
  withinMs = patienceMs,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  // What comes soon is seen at once; looking often for what takes long would only slow it.
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 1.2, 100)) {
    const found = await read();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(pauseMs);
  }
}

/** Something that is waited for until it is opened. */
export function gate(): { opened: Promise<void>; open(): void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
