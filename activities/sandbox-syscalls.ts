import { endianness } from 'node:os';

/**
 * The kernel keeps keys for users and sessions, by no namespace that all hosts allow: a build would read those of the session in
 * which Signalbox was started, and leave some for the next. So the three system calls for them do not exist in a sandbox, as in
 * containers: a seccomp filter.
 */
interface Architecture {
  /** As seccomp names it, and the first of add_key, request_key, keyctl, which follow one another; the 32-bit one beside it, too. */
  calls: [audit: number, first: number][];
  prctl: number;
}
const architectures: Partial<Record<NodeJS.Architecture, Architecture>> = {
  x64: {
    calls: [
      [0xc000_003e, 248],
      [0x4000_0003, 286],
    ],
    prctl: 157,
  },
  arm64: {
    calls: [
      [0xc000_00b7, 217],
      [0x4000_0028, 309],
    ],
    prctl: 167,
  },
  riscv64: { calls: [[0xc000_00f3, 217]], prctl: 167 },
};
const here = endianness() === 'LE' ? architectures[process.arch] : undefined;

const [load, and, isEqual, isAtLeast, answer] = [0x20, 0x54, 0x15, 0x35, 0x06];
const [numberAt, architectureAt] = [0, 4];
const allowed = 0x7fff_0000;
/** ENOSYS: programs take it for a kernel without keys. */
const missing = 0x0005_0000 | 38;

/** The filter as the kernel takes it; undefined for a processor whose numbers are not known here. */
export function keysFilter(): Buffer | undefined {
  if (!here) return undefined;
  const steps = here.calls.flatMap(([audit, first]): [code: number, k: number, yes: number, no: number][] => [
    [load, architectureAt, 0, 0],
    [isEqual, audit, 0, 6],
    [load, numberAt, 0, 0],
    // The x32 calls of x64 are marked by a bit.
    [and, 0xbfff_ffff, 0, 0],
    [isAtLeast, first, 0, 2],
    [isAtLeast, first + 3, 1, 0],
    [answer, missing, 0, 0],
    [answer, allowed, 0, 0],
  ]);
  steps.push([answer, allowed, 0, 0]);
  const program = Buffer.alloc(steps.length * 8);
  steps.forEach(([code, k, yes, no], n) => {
    program.writeUInt16LE(code, n * 8);
    program.writeUInt8(yes, n * 8 + 2);
    program.writeUInt8(no, n * 8 + 3);
    program.writeUInt32LE(k, n * 8 + 4);
  });
  return program;
}

/** Loads it where no tool of the system does, and becomes the command; after no-new-privs. */
const loader = `my ($prctl, $hex, @command) = @ARGV;
my $filter = pack("H*", $hex);
my $program = pack("S x![P] P", length($filter) / 8, $filter);
syscall($prctl, 22, 2, $program) == 0 or die "no system call could be taken away: $!\\n";
exec { $command[0] } @command or die "$command[0]: $!\\n";`;
export const loadFilter = (perl: string, filter: Buffer): string[] => [
  ...[perl, '-e', loader, '--', String(here!.prctl), filter.toString('hex')],
];
