#!/usr/bin/env node
'use strict';
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const main = join(__dirname, '..', 'dist', 'cli', 'main.js');
if (!existsSync(main)) {
  console.error('Signalbox is not built yet; run "npm run build" in its folder first.');
  process.exit(1);
}
require(main);
