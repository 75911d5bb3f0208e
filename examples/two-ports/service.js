'use strict';
// What is deployed: `node service.js PORT`. Takes its time to answer, and finishes what it has begun when it is asked to end.
const http = require('node:http');
const { setTimeout: sleep } = require('node:timers/promises');

const version = 'VERSION';
const server = http.createServer(async (request, answer) => {
  answer.setHeader('connection', 'close');
  if (request.url === '/health')
    return answer.writeHead(version === 'broken' ? 500 : 200).end(process.env.RELEASE);
  await sleep(20);
  answer.end(version);
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
