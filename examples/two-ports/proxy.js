'use strict';
// The reverse proxy: `node proxy.js FOLDER PORT`. Sends requests to the port that FOLDER/live.json names, and says in
// FOLDER/proxy.json which ports have requests of it: once one is not named there, what listened on it can end.
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

/** Where requests go from now on, and for each port those that it has not answered yet. */
let live;
const unanswered = new Map();
let said;
function look() {
  try {
    live = JSON.parse(fs.readFileSync(path.join(folder, 'live.json'), 'utf8')).port;
  } catch {
    live = undefined;
  }
  const ports = [...new Set([live, ...unanswered.keys()])].filter((one) => one !== undefined);
  const text = JSON.stringify({ pid: process.pid, ports });
  if (text === said) return;
  fs.writeFileSync(path.join(folder, 'proxy.json.new'), text);
  fs.renameSync(path.join(folder, 'proxy.json.new'), path.join(folder, 'proxy.json'));
  said = text;
}
look();
setInterval(look, 20);

http
  .createServer((request, answer) => {
    const to = live;
    if (to === undefined) {
      answer.writeHead(503).end('nothing is deployed yet\n');
      return;
    }
    unanswered.set(to, (unanswered.get(to) ?? 0) + 1);
    answer.on('close', () => {
      const left = unanswered.get(to) - 1;
      if (left > 0) unanswered.set(to, left);
      else unanswered.delete(to);
    });
    proxy.web(request, answer, { target: `http://127.0.0.1:${to}` });
  })
  .listen(Number(port), '127.0.0.1', () => console.log(`proxy on http://127.0.0.1:${port}/`));
