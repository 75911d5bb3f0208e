import { closeSync, readdirSync, readFileSync } from 'node:fs';

/** As the kernel writes it: this process's own, which nothing that it starts finds open. */
const closedOnExec = 0o2000000;

/**
 * Closes the files that whoever started this process left open in it, besides the three standard ones: builds and hooks would
 * find them open, whatever they are kept from. Node closes the first sixteen to what it starts, and no others.
 */
export function closeInherited(): void {
  if (process.platform !== 'linux') return;
  for (const name of readdirSync('/proc/self/fd'))
    try {
      const [, flags] = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))!;
      if (Number(name) > 2 && (Number.parseInt(flags!, 8) & closedOnExec) === 0) closeSync(Number(name));
    } catch {
      // It was closed meanwhile, as that by which the folder was read.
    }
}
