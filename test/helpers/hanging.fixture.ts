import { renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { launchChromium } from '../../bench/chromium';
import { belongingTo } from './guardian.cjs';
import { startUp } from './up';
import { makeWorld } from './world';

/** A test file that starts one of everything, says what, and never ends; test/e2e/nothing-left runs it. */
const { SIGNALBOX_TEST_READY: ready, SIGNALBOX_TEST_HANG_MS: hangMs } = process.env;
beforeAll(async () => {
  await Promise.all([startUp({ args: ['--no-sample'] }), makeWorld(), launchChromium()]);
  const running = belongingTo(tmpdir()).map(({ args }) => args);
  writeFileSync(`${ready}.new`, JSON.stringify({ pid: process.pid, running }));
  renameSync(`${ready}.new`, ready!);
});
it('hangs', () => new Promise(() => undefined), Number(hangMs));
