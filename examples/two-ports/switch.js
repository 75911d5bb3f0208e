'use strict';
// Makes $SIGNALBOX_RELEASE live, or nothing when it is empty. Runs in the driver's root, also again after a fault: what is
// there already is found and kept.
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const { SIGNALBOX_RELEASE: release, SIGNALBOX_RELEASE_DIR: folder } = process.env;
const ports = (process.env.PORTS ?? '8081,8082').split(',').map(Number);

const read = (name) => {
  try {
    return JSON.parse(fs.readFileSync(name, 'utf8'));
  } catch {
    return undefined;
  }
};
const running = () => read('running.json') ?? {};
const write = (name, value) => {
  fs.writeFileSync(`${name}.new`, JSON.stringify(value));
  fs.renameSync(`${name}.new`, name);
};
/** State and start time of a process; a number is given again, so only both together name one. */
const statOf = (pid) => {
  try {
    const fields = fs
      .readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { state: fields[0], start: fields[19] };
  } catch {
    return undefined;
  }
};
/** Whether the process that was started then still runs; a later one with the same number is somebody else's. */
const alive = ({ pid, start } = {}) => {
  const now = statOf(pid);
  return now !== undefined && now.state !== 'Z' && now.start === start;
};
/**
 * Waits until the proxy sends requests to `port` and has none left elsewhere: a service that stops listening refuses those that
 * are on their way to it. Ten seconds at most, since one request may take for ever.
 */
async function proxied(port) {
  const there = () => {
    const proxy = read('proxy.json');
    return !proxy || statOf(proxy.pid) === undefined || proxy.ports.join() === `${port ?? ''}`;
  };
  for (let waited = 0; !there() && waited < 10_000; waited += 20) await sleep(20);
}
/** Asks a service to finish what it has begun and to end. */
async function end(port) {
  const service = running()[port];
  if (!alive(service)) return;
  process.kill(service.pid, 'SIGTERM');
  for (let waited = 0; alive(service) && waited < 10_000; waited += 50) await sleep(50);
  if (alive(service)) process.kill(service.pid, 'SIGKILL');
}
const healthy = (port) =>
  fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1_000) }).then(
    (answer) => answer.ok,
    () => false,
  );

async function main() {
  const live = read('live.json');
  if (!release) {
    fs.rmSync('live.json', { force: true });
    await proxied();
    for (const port of ports) await end(port);
    return;
  }
  const there = live?.release === release && alive(running()[live.port]);
  const port = there ? live.port : ports.find((one) => one !== live?.port);
  if (!there) {
    // What an earlier try may have left there.
    await end(port);
    const env = { ...process.env, RELEASE: release };
    delete env.SIGNALBOX_WORK;
    const log = fs.openSync(`service-${port}.log`, 'a');
    const service = spawn(process.execPath, [path.join(folder, 'service.js'), String(port)], {
      cwd: folder,
      env,
      detached: true,
      stdio: ['ignore', log, log],
    });
    service.unref();
    const started = { pid: service.pid, start: statOf(service.pid)?.start, release };
    write('running.json', { ...running(), [port]: started });
    for (let waited = 0; !(await healthy(port)); waited += 50) {
      if (waited > 20_000 || !alive(started)) throw new Error(`the service does not answer on port ${port}`);
      await sleep(50);
    }
    // From here on the proxy sends requests to the new one.
    write('live.json', { port, release });
    console.log(`${release.slice(0, 12)} is live on port ${port}`);
  }
  await proxied(port);
  for (const other of ports) if (other !== port) await end(other);
}

main().catch((thrown) => {
  console.error(thrown.message);
  process.exitCode = 1;
});
