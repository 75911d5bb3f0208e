// Where a test file runs: with a folder of its own for all that it writes and starts. What still runs there when its
// tests are over is a leak: it is ended, and fails the file.
'use strict';
const { setTimeout: sleep } = require('node:timers/promises');
const { TestEnvironment } = require('jest-environment-node');
const { belongingTo, endAll, own, remove, variable } = require('./guardian.cjs');

/** What has been asked to end is given this long. */
const endsWithinMs = 60_000;

module.exports = class extends TestEnvironment {
  constructor(config, context) {
    super(config, context);
    this.file = context.testPath;
  }
  async setup() {
    await super.setup();
    this.before = process.env.TMPDIR;
    this.folder = own('file', process.env[variable]);
    this.setFolder(this.folder);
  }
  async teardown() {
    this.setFolder(this.before);
    await super.teardown();
    const until = Date.now() + endsWithinMs;
    let left = belongingTo(this.folder);
    for (; left.length > 0 && Date.now() < until; left = belongingTo(this.folder)) await sleep(50);
    await endAll(this.folder);
    remove(this.folder);
    if (left.length > 0)
      throw new Error(
        `${this.file} left running:\n${left.map(({ pid, args }) => `  ${pid} ${args}`).join('\n')}`,
      );
  }
  /** Both: tests see a copy of the environment, and what Node itself does for them takes the real one. */
  setFolder(folder) {
    process.env.TMPDIR = folder;
    if (this.global?.process) this.global.process.env.TMPDIR = folder;
  }
};
