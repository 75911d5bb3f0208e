import { setTimeout as sleep } from 'node:timers/promises';

export async function until(there: () => Promise<boolean>): Promise<void> {
  while (!(await there())) await sleep(10);
}

/** Does the work for each of them, so many at a time, the last one first. */
export async function each<T>(all: T[], atATime: number, work: (one: T) => Promise<unknown>): Promise<void> {
  const queue = [...all];
  const worker = async () => {
    for (let one = queue.pop(); one !== undefined; one = queue.pop()) await work(one);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}
