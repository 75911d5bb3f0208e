import { rmSync } from 'node:fs';
import type { Processes } from '../../cli/embedded/processes';

export default async function tearDown(): Promise<void> {
  const { state, processes } = (
    globalThis as unknown as { signalboxTest: { state: string; processes: Processes } }
  ).signalboxTest;
  await processes.stop('postgres');
  rmSync(state, { recursive: true, force: true });
}
