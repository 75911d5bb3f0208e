import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Processor time that this process and all that it started use meanwhile, in milliseconds. */
export async function cpuMsWhile(work: () => Promise<unknown>): Promise<number> {
  const before = cpuMs();
  await work();
  // A process that ended meanwhile is not counted: what it used before would count against the rest.
  const used = [...cpuMs()].map(([pid, ms]) => ms - (before.get(pid) ?? 0));
  return used.reduce((sum, ms) => sum + ms, 0);
}
/** Processor time of this process and of each below it, in milliseconds by pid. */
function cpuMs(): Map<number, number> {
  // Where there is no /proc, this process alone.
  if (!existsSync('/proc/self/stat')) return new Map([[process.pid, process.cpuUsage().user / 1000]]);
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ')[1]!.split(' ');
        // A tick is a hundredth of a second.
        return [
          {
            pid: Number(name),
            parent: Number(fields[1]),
            ms: (Number(fields[11]) + Number(fields[12])) * 10,
          },
        ];
      } catch {
        return [];
      }
    });
  const ours = new Set([process.pid]);
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all)
      if (ours.has(parent) && !ours.has(pid)) {
        ours.add(pid);
        grown = true;
      }
  }
  return new Map(all.filter(({ pid }) => ours.has(pid)).map(({ pid, ms }) => [pid, ms]));
}
