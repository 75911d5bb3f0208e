'use strict';
// The reverse proxy: `node proxy.js FOLDER PORT`. Sends each request to the port that FOLDER/live.json names.
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { createProxyServer } = require('http-proxy');

const [folder, port] = process.argv.slice(2);
const proxy = createProxyServer({ agent: new http.Agent({ keepAlive: false }) });
proxy.on('error', (thrown, _request, answer) => {
  if (!answer.headersSent) answer.writeHead(502);
  answer.end(`the service does not answer: ${thrown.message}\n`);
});
http
  .createServer((request, answer) => {
    let live;
    try {
      live = JSON.parse(fs.readFileSync(path.join(folder, 'live.json'), 'utf8'));
    } catch {
      answer.writeHead(503).end('nothing is deployed yet\n');
      return;
    }
    proxy.web(request, answer, { target: `http://127.0.0.1:${live.port}` });
  })
  .listen(Number(port), '127.0.0.1', () => console.log(`proxy on http://127.0.0.1:${port}/`));
