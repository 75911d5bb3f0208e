'use strict';
// Prints the digest of the release that is live, or nothing. Runs in the driver's root.
const fs = require('node:fs');

try {
  console.log(JSON.parse(fs.readFileSync('live.json', 'utf8')).release);
} catch (thrown) {
  if (thrown.code !== 'ENOENT') throw thrown;
}
