'use strict';
// The build of the example's repository: the service with its version put in.
const fs = require('node:fs');

fs.mkdirSync('dist', { recursive: true });
const version = fs.readFileSync('version.txt', 'utf8').trim();
fs.writeFileSync('dist/service.js', fs.readFileSync('service.js', 'utf8').replace('VERSION', version));
