// Preloaded into a process whose failpoints were left in. At an armed failpoint the process says that it is there
// and goes no further until it is let go; everything else of it (heartbeats, say) goes on.
'use strict';
const { existsSync, renameSync } = require('node:fs');
const { join } = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const folder = process.env.SIGNALBOX_BARRIERS;
globalThis.signalboxBarrier = async (name) => {
  const file = join(folder, name.replaceAll('/', '.'));
  try {
    // Only one of those that come at once takes it.
    renameSync(`${file}.armed`, `${file}.reached`);
  } catch {
    return;
  }
  while (!existsSync(`${file}.open`)) await sleep(5);
};
