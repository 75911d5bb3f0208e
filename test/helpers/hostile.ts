/**
 * What a build of somebody's commit may try, as the text of a script: it prints `got ...` for each attempt that succeeds.
 * Its argument, as JSON: {files, folders, pids, plant, home, stay, processes, memoryMiB, fileMiB}; what is left out is not tried.
 */
export interface Attempts {
  /** Files to read. */
  files?: string[];
  /** Folders to look into. */
  folders?: string[];
  /** Processes to look into, and to signal. */
  pids?: number[];
  /** Files to write. */
  plant?: string[];
  /** Seconds by which a process that stays behind is told from others. */
  stay?: string;
  /** To be started at once. */
  processes?: number;
  memoryMiB?: number;
  fileMiB?: number;
}

export const hostileBuild = `
const fs = require('node:fs');
const { spawn } = require('node:child_process');
const asked = JSON.parse(process.argv.at(-1));
const attempt = (what, act) => { try { if (act() !== false) console.log('got ' + what); } catch {} };
for (const file of asked.files ?? []) {
  attempt(file, () => fs.readFileSync(file));
  attempt('a link to ' + file, () => { fs.symlinkSync(file, 'link'); try { fs.readFileSync('link'); } finally { fs.unlinkSync('link'); } });
}
for (const folder of asked.folders ?? []) attempt(folder, () => fs.readdirSync(folder).length > 0);
for (const pid of asked.pids ?? []) {
  for (const name of ['environ', 'maps', 'cmdline']) attempt('/proc/' + pid + '/' + name, () => fs.readFileSync('/proc/' + pid + '/' + name).length > 0);
  attempt('the memory of ' + pid, () => fs.openSync('/proc/' + pid + '/mem', 'r'));
  for (const file of asked.files ?? []) attempt('/proc/' + pid + '/root' + file, () => fs.readFileSync('/proc/' + pid + '/root' + file));
  attempt('a signal to ' + pid, () => process.kill(pid, 0));
}
for (const file of asked.plant ?? []) attempt('a place at ' + file, () => fs.writeFileSync(file, 'planted'));
if (asked.stay) {
  spawn('setsid', ['sleep', asked.stay], { env: {}, detached: true, stdio: 'ignore' }).unref();
}
let running = [];
if (asked.processes) {
  for (let n = 0; n < asked.processes; n++) {
    let child;
    try { child = spawn('sleep', ['60'], { stdio: 'ignore' }); } catch { break; }
    child.once('error', () => undefined);
    if (child.pid === undefined) break;
    running.push(child);
  }
  if (running.length === asked.processes) console.log('got ' + running.length + ' processes');
  for (const child of running) child.kill('SIGKILL');
}
if (asked.fileMiB) attempt(asked.fileMiB + ' MiB in a file', () => { process.on('SIGXFSZ', () => undefined); fs.writeFileSync('big', Buffer.alloc(asked.fileMiB * 1048576)); });
if (fs.existsSync('build.js')) {
  fs.mkdirSync('dist', { recursive: true });
  fs.writeFileSync('dist/version.txt', 'hostile');
  fs.copyFileSync('migrate.js', 'dist/migrate.js');
}
console.log('tried everything');
if (asked.memoryMiB) {
  const kept = [];
  for (let n = 0; n < asked.memoryMiB; n += 16) kept.push(Buffer.alloc(16 * 1048576, 1));
  console.log('got ' + asked.memoryMiB + ' MiB of memory');
}
`;
