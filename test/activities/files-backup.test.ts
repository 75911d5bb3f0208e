import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { filesBackup } from '../../activities/backups/files';
import type { Made } from '../../activities/backups/kind';
import { dataPaths, packData } from '../../activities/backups/pack-data';
import { judge } from '../../activities/causes';
import { redactor } from '../../activities/redact';
import type { StepContext } from '../../activities/step';

/** The files backup: what counts as proven comes back as it was, and what would not is named before anything is swapped. */
const replacer = resolve('activities/backups/replace-data.js');
const asRoot = process.getuid?.() === 0 ? it : it.skip;
const canMount =
  process.getuid?.() === 0 &&
  (() => {
    const place = mkdtempSync(join(tmpdir(), 'signalbox-mount-'));
    const { status } = spawnSync('mount', ['-t', 'tmpfs', 'none', place]);
    if (status === 0) spawnSync('umount', [place]);
    rmSync(place, { recursive: true });
    return status === 0;
  })();
const mounting = canMount ? it : it.skip;

let folder: string;
let data: string;
let room: string;
let file: string;
const mounts: string[] = [];
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'signalbox-files-')));
  data = join(folder, 'data');
  room = join(folder, 'backups');
  file = join(room, 'CP-1.1.backup-1-1.tar.gz');
});
afterEach(() => {
  delete (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier;
  for (const place of mounts.splice(0).reverse()) spawnSync('umount', ['-l', place]);
  rmSync(folder, { recursive: true, force: true });
});
const mount = (place: string, ...how: string[]) => {
  execFileSync('mount', [...how, place]);
  mounts.push(place);
};

const kind = (...paths: string[]) =>
  filesBackup({ kind: 'files', paths: paths.length > 0 ? paths : [data], keepDays: 1 });
const make = (...paths: string[]): Promise<Made> => kind(...paths).make({} as StepContext, file);
function restore(paths = [data], archive = file, ...node: string[]) {
  const order = JSON.stringify({ archive, paths, key: 'CP-1.1' });
  const { status, stderr, signal } = spawnSync(process.execPath, [...node, replacer, order], {
    encoding: 'utf8',
  });
  return { status, stderr, signal };
}
const restored = { status: 0, stderr: '', signal: null };

/** Everything in a folder, as a restore has to bring it back. */
function seen(place: string): Record<string, string> {
  const found: Record<string, string> = {};
  const walk = (path: Buffer, name: string) => {
    const stat = lstatSync(path);
    const what = stat.isSymbolicLink()
      ? `-> ${readlinkSync(path, { encoding: 'buffer' }).toString('latin1')}`
      : stat.isDirectory()
        ? 'folder'
        : readFileSync(path).toString('latin1');
    const mode = stat.isSymbolicLink() ? '' : (stat.mode & 0o7777).toString(8);
    found[name] = `${stat.uid}:${stat.gid} ${mode} ${Math.floor(stat.mtimeMs / 1000)} ${what}`;
    if (stat.isDirectory())
      for (const entry of readdirSync(path, { encoding: 'buffer' }))
        walk(Buffer.concat([path, Buffer.from('/'), entry]), `${name}/${entry.toString('latin1')}`);
  };
  walk(Buffer.from(place), '');
  return found;
}
const leftovers = (where = folder) =>
  readdirSync(where, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.signalbox-'));

/** One of each kind of thing that data holds. */
function someData(place = data): void {
  mkdirSync(join(place, 'sub', 'deep'), { recursive: true });
  writeFileSync(join(place, 'orders.txt'), 'precious orders\n');
  writeFileSync(join(place, 'sub', 'empty'), '');
  writeFileSync(join(place, 'sub', 'deep', 'large'), Buffer.alloc(700_000, 'x1'));
  writeFileSync(join(place, '@name'), 'no archive');
  writeFileSync(join(place, 'line\nbreak \\ ü'), 'odd');
  writeFileSync(join(place, 'signalbox-bytes-ff'), 'a name like those of names');
  writeFileSync(Buffer.concat([Buffer.from(join(place, 'caf')), Buffer.from([0xe9])]), 'latin1');
  mkdirSync(Buffer.concat([Buffer.from(join(place, 'f')), Buffer.from([0xff]), Buffer.alloc(120, 0xfe)]));
  writeFileSync(join(place, 'n'.repeat(250)), 'long');
  mkdirSync(join(place, 'a'.repeat(200), 'b'.repeat(200)), { recursive: true });
  symlinkSync('orders.txt', join(place, 'inside'));
  symlinkSync('/etc/localtime', join(place, 'absolute'));
  symlinkSync('/nowhere/at all', join(place, 'dangling'));
  symlinkSync('../outside', join(place, 'leaves'));
  symlinkSync(Buffer.from([0x2f, 0xe9]), join(place, 'bytes'));
  chmodSync(join(place, 'orders.txt'), 0o640);
  chmodSync(join(place, 'sub'), 0o2770);
  utimesSync(join(place, 'orders.txt'), 1_000_000_000, 1_000_000_000);
  utimesSync(join(place, '@name'), new Date(-100_000), new Date(-100_000));
  utimesSync(join(place, 'sub', 'deep'), 1_100_000_000, 1_100_000_000);
  if (process.getuid?.() === 0) {
    chownSync(join(place, 'orders.txt'), 1234, 4321);
    chownSync(join(place, 'sub'), 3_000_000, 33);
    chmodSync(join(place, 'sub'), 0o2770);
  }
}
const spoil = () => {
  writeFileSync(join(data, 'orders.txt'), 'CORRUPTED BY MIGRATION');
  rmSync(join(data, 'sub'), { recursive: true });
  writeFileSync(join(data, 'added'), 'by the migration');
};

it('everything comes back as it was, and nothing of the restore stays', async () => {
  someData();
  const before = seen(data);
  const made = await make();
  expect(made.entries).toBe(Object.keys(before).length);
  expect(await kind().isWhole(file, made)).toBe(true);
  expect(readdirSync(room)).toEqual(['CP-1.1.backup-1-1.tar.gz']);
  spoil();
  expect(restore()).toEqual(restored);
  expect(seen(data)).toEqual(before);
  expect(leftovers()).toEqual([]);
  // Again without harm, and also where there is nothing any more.
  rmSync(data, { recursive: true });
  expect(restore()).toEqual(restored);
  expect(seen(data)).toEqual(before);
});

it('any tar can list and unpack it', async () => {
  someData();
  // By bytes this name is short enough for a file system, and written out as text it is not.
  for (const name of readdirSync(data, { encoding: 'buffer' }).filter((bytes) => bytes[1] === 0xff))
    rmdirSync(Buffer.concat([Buffer.from(`${data}/`), name]));
  await make();
  const out = join(folder, 'out');
  mkdirSync(out);
  execFileSync('tar', ['-xzf', file, '-C', out]);
  expect(readFileSync(join(out, data, 'orders.txt'), 'utf8')).toBe('precious orders\n');
});

describe('a path that is a link', () => {
  it.each([
    ['absolute', () => symlinkSync(join(folder, 'real'), data)],
    ['relative', () => symlinkSync('real', data)],
    [
      'by way of another',
      () => {
        symlinkSync(join(folder, 'real'), join(folder, 'between'));
        symlinkSync('between', data);
      },
    ],
  ])('is followed: what it leads to is backed up and put back: %s', async (_how, link) => {
    const real = join(folder, 'real');
    someData(real);
    link();
    const [before, to] = [seen(real), readlinkSync(data)];
    expect((await make()).entries).toBe(Object.keys(before).length);
    spoil();
    expect(restore()).toEqual(restored);
    expect([seen(real), readlinkSync(data), lstatSync(data).isSymbolicLink()]).toEqual([before, to, true]);
    expect(leftovers()).toEqual([]);
  });

  it.each([
    ['leads elsewhere', () => symlinkSync('other', data)],
    ['is a folder', () => mkdirSync(join(data, 'x'), { recursive: true })],
    ['is gone', () => undefined],
  ])('leads there again when it %s since', async (_what, change) => {
    const real = join(folder, 'real');
    someData(real);
    symlinkSync('real', data);
    const before = seen(real);
    await make();
    mkdirSync(join(folder, 'other'));
    writeFileSync(join(folder, 'other', 'theirs'), 'of the migration');
    rmSync(data);
    rmSync(real, { recursive: true });
    change();
    expect(restore()).toEqual(restored);
    expect([seen(real), readlinkSync(data)]).toEqual([before, 'real']);
    expect(readFileSync(join(folder, 'other', 'theirs'), 'utf8')).toBe('of the migration');
    expect(leftovers()).toEqual([]);
  });

  it('that leads into another path is backed up once', async () => {
    someData();
    symlinkSync('data/sub', join(folder, 'part'));
    const before = seen(data);
    const paths = [join(folder, 'part'), data];
    expect((await make(...paths)).entries).toBe(Object.keys(before).length);
    spoil();
    expect(restore(paths)).toEqual(restored);
    expect(seen(data)).toEqual(before);
  });
});

describe('what cannot be backed up is a verdict that names it', () => {
  const verdict = (message: RegExp) => ({
    type: 'BackupFailed',
    nonRetryable: true,
    message: expect.stringMatching(message),
  });
  it.each([
    ['a path that is not there', () => undefined, /Data path .*\/data does not exist/],
    [
      'a path that leads nowhere',
      () => symlinkSync('nowhere', data),
      /Data path .*\/data does not exist or leads nowhere/,
    ],
    [
      'a link in a circle',
      () => symlinkSync('data', data),
      /Data path .*\/data does not exist or leads nowhere/,
    ],
    [
      'a named pipe',
      () => {
        someData();
        execFileSync('mkfifo', [join(data, 'sub', 'pipe')]);
      },
      /\/data\/sub\/pipe is a named pipe/,
    ],
    ['the backups themselves', () => symlinkSync('.', data), /holds the backups themselves/],
  ])('%s', async (_what, prepare, message) => {
    prepare();
    await expect(make()).rejects.toMatchObject(verdict(message));
    expect(readdirSync(room)).toEqual([]);
  });

  asRoot('a file that may not be read, and one whose owner could not be given back', async () => {
    someData();
    mkdirSync(room);
    for (const place of [folder, room]) chmodSync(place, 0o777);
    chmodSync(join(data, 'sub'), 0o755);
    chmodSync(join(data, 'orders.txt'), 0o600);
    process.seteuid!(65534);
    try {
      await expect(make()).rejects.toMatchObject(verdict(/\/data\/orders\.txt cannot be read/));
    } finally {
      process.seteuid!(0);
    }
    chmodSync(join(data, 'orders.txt'), 0o644);
    process.seteuid!(65534);
    try {
      await expect(make()).rejects.toMatchObject(
        verdict(/\/data.* belongs to \d+:\d+, and whoever runs Signalbox .* cannot give it back/),
      );
    } finally {
      process.seteuid!(0);
    }
    expect(readdirSync(room)).toEqual([]);
    // Its companion: who may read and give back all of it is not refused.
    await make();
  });

  mounting('what is mounted read-only', async () => {
    someData();
    mkdirSync(join(data, 'fixed'));
    mount(join(data, 'fixed'), '-t', 'tmpfs', '-o', 'ro', 'none');
    await expect(make()).rejects.toMatchObject(verdict(/\/data\/fixed is mounted read-only/));
  });
});

it('a socket is no data: it is left out, and said to be', async () => {
  someData();
  const before = seen(data);
  const server = createServer().listen(join(data, 'app.sock'));
  await new Promise((listening) => server.once('listening', listening));
  try {
    const made = await make();
    expect(made.detail).toBe(`left out: ${data}/app.sock (a socket, which holds no data)`);
    expect(made.entries).toBe(Object.keys(before).length);
  } finally {
    server.close();
  }
});

it('files that grow, shrink, come and go while they are read fail nothing', async () => {
  someData();
  for (let n = 0; n < 40; n++) writeFileSync(join(data, `f${n}`), 'y'.repeat(200_000));
  const busy = spawn(process.execPath, [
    '-e',
    `const fs = require('node:fs'), path = require('node:path'), data = process.argv[1];
     const log = fs.openSync(path.join(data, 'orders.txt'), 'a');
     for (let n = 0; ; n++) {
       fs.writeSync(log, 'a line of the log\\n');
       const one = path.join(data, 'f' + n % 40);
       fs.writeFileSync(one, 'z'.repeat(n % 3 ? 300000 : 10)); fs.truncateSync(one, n % 5 * 1000);
       fs.writeFileSync(path.join(data, 'comes'), 'x'); fs.rmSync(path.join(data, 'comes'));
     }`,
    data,
  ]);
  try {
    await sleep(300);
    for (let n = 0; n < 15; n++) await make();
  } finally {
    busy.kill('SIGKILL');
    await new Promise((gone) => busy.once('close', gone));
  }
  expect(restore()).toEqual(restored);
  expect(leftovers()).toEqual([]);
});

it('of a file that shrinks while it is read, what was read is what comes back', async () => {
  mkdirSync(data);
  const large = join(data, 'large');
  writeFileSync(large, Buffer.alloc(40_000_000, 'abc'));
  utimesSync(large, 1_000_000_000, 1_000_000_000);
  // Cut as soon as its first bytes are on their way.
  const cut = (async () => {
    while (!existsSync(`${file}.new`)) await sleep(1);
    truncateSync(large, 300_000);
  })();
  const made = await make();
  await cut;
  rmSync(large);
  expect(restore()).toEqual(restored);
  const back = readFileSync(large);
  expect(back.length).toBeGreaterThanOrEqual(300_000);
  expect(back.equals(Buffer.alloc(back.length, 'abc'))).toBe(true);
  expect(made.entries).toBe(2);
});

describe('the proof', () => {
  /** The archive becomes a whole one of other data, once it is written. */
  async function swapped(change: () => void): Promise<string> {
    someData();
    (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier = async (name: string) => {
      if (name !== 'backup/middle') return;
      change();
      await packData(await dataPaths([data], room), file);
    };
    return make().then(
      () => 'taken',
      (thrown: Error) => thrown.message,
    );
  }
  const alterations: [string, () => void, RegExp][] = [
    [
      'content of equal size and time',
      () => {
        writeFileSync(join(data, 'orders.txt'), 'precious 0rders\n');
        utimesSync(join(data, 'orders.txt'), 1_000_000_000, 1_000_000_000);
      },
      /data\/orders\.txt is a file of .* sha256 .*, and was a file/,
    ],
    ['a size', () => truncateSync(join(data, 'sub', 'deep', 'large'), 5), /large is .* 5 bytes/],
    [
      'a mode',
      () => chmodSync(join(data, 'orders.txt'), 0o600),
      /orders\.txt is .* mode 600.* was .* mode 640/,
    ],
    [
      'a link',
      () => {
        rmSync(join(data, 'absolute'));
        symlinkSync('/etc/hostname', join(data, 'absolute'));
      },
      /absolute is a link .* \/etc\/hostname/,
    ],
    [
      'a kind',
      () => {
        rmSync(join(data, 'absolute'));
        mkdirSync(join(data, 'absolute'));
      },
      /absolute is a folder .* was a link/,
    ],
    ['one missing', () => rmSync(join(data, '@name')), /@name is missing/],
    ['one too many', () => writeFileSync(join(data, 'more'), ''), /more is a file .* was not there/],
    ...(process.getuid?.() === 0
      ? [
          [
            'an owner',
            () => chownSync(join(data, '@name'), 77, 0),
            /@name is a file of 77:0.* was a file of 0:0/,
          ] as [string, () => void, RegExp],
        ]
      : []),
  ];
  it.each(alterations)('notices %s, and leaves nothing', async (_what, change, message) => {
    expect(await swapped(change)).toMatch(message);
    expect(readdirSync(room)).toEqual([]);
  });
  it("is nobody else's to read: what keeps them out may lie above the data", async () => {
    someData();
    const modes: number[] = [];
    (globalThis as { signalboxBarrier?: unknown }).signalboxBarrier = async (name: string) => {
      if (name === 'backup/proof') modes.push(lstatSync(`${file}.proof`).mode & 0o777);
    };
    await make();
    expect([modes, lstatSync(file).mode & 0o777]).toEqual([[0o700], 0o600]);
  });
  it('takes one that was packed again unchanged', async () => {
    expect(await swapped(() => undefined)).toBe('taken');
  });
});

describe('mount points', () => {
  mounting('a path that is one is restored in place', async () => {
    mkdirSync(data);
    mount(data, '-t', 'tmpfs', 'none');
    someData();
    const [before, { dev }] = [seen(data), lstatSync(data)];
    await make();
    spoil();
    chmodSync(data, 0o700);
    await sleep(1_100);
    expect(restore()).toEqual(restored);
    expect([seen(data), lstatSync(data).dev]).toEqual([before, dev]);
    expect([...leftovers(), ...leftovers(data)]).toEqual([]);
  });

  mounting('also one below a path, a folder that is bound there, and a single file', async () => {
    someData();
    const tmp = join(data, 'sub', 'mounted');
    const bound = join(data, 'bound');
    const one = join(data, 'one.db');
    for (const place of [tmp, bound, join(folder, 'elsewhere')]) mkdirSync(place);
    writeFileSync(join(folder, 'elsewhere', 'kept'), 'bound data');
    writeFileSync(join(folder, 'real.db'), 'a database in one file');
    writeFileSync(one, '');
    mount(tmp, '-t', 'tmpfs', 'none');
    someData(tmp);
    mount(bound, '--bind', join(folder, 'elsewhere'));
    mount(one, '--bind', join(folder, 'real.db'));
    const before = seen(data);
    await make();
    writeFileSync(join(data, 'orders.txt'), 'CORRUPTED');
    writeFileSync(join(tmp, 'orders.txt'), 'CORRUPTED');
    rmSync(join(tmp, 'sub'), { recursive: true });
    writeFileSync(join(bound, 'added'), 'x');
    rmSync(join(bound, 'kept'));
    writeFileSync(one, 'CORRUPTED');
    expect(restore()).toEqual(restored);
    expect(seen(data)).toEqual(before);
    expect(readFileSync(join(folder, 'real.db'), 'utf8')).toBe('a database in one file');
    expect(readdirSync(join(folder, 'elsewhere'))).toEqual(['kept']);
    expect([...leftovers(), ...leftovers(data)]).toEqual([]);
  });

  mounting('one that came after the backup is left alone', async () => {
    someData();
    await make();
    const later = join(data, 'later');
    mkdirSync(later);
    mount(later, '-t', 'tmpfs', 'none');
    writeFileSync(join(later, 'theirs'), 'x');
    writeFileSync(join(data, 'orders.txt'), 'CORRUPTED');
    expect(restore()).toEqual(restored);
    expect(readFileSync(join(data, 'orders.txt'), 'utf8')).toBe('precious orders\n');
    expect(readFileSync(join(later, 'theirs'), 'utf8')).toBe('x');
  });
});

describe('a restore', () => {
  /** Does something just before the nth rename. */
  const hook = (n: number, what: string) => {
    const path = join(folder, 'hook.cjs');
    writeFileSync(
      path,
      `const fs = require('node:fs'); const rename = fs.renameSync; let n = 0;
       fs.renameSync = (...args) => { if (n++ === ${n}) { ${what} } return rename(...args); };`,
    );
    return ['--require', path];
  };
  const kill = "process.kill(process.pid, 'SIGKILL');";
  const fail = "throw new Error('the disk says no');";
  const shapes: [string, () => void, string[]][] = [
    ['of two folders', () => undefined, []],
    [
      'by a link',
      () => {
        renameSync(data, join(folder, 'real'));
        symlinkSync('real', data);
      },
      [],
    ],
  ];
  describe.each(shapes)('%s', (_shape, arrange) => {
    const paths = () => [data, join(folder, 'more')];
    async function prepared() {
      someData();
      someData(join(folder, 'more'));
      arrange();
      const before = [seen(realpathSync(data)), seen(join(folder, 'more'))];
      await make(...paths());
      spoil();
      if (lstatSync(data).isSymbolicLink()) {
        rmSync(data);
        symlinkSync('more', data);
      }
      return before;
    }
    const now = () => [seen(realpathSync(data)), seen(join(folder, 'more'))];

    it.each([0, 1, 2, 3, 4])('killed before its rename %d, is finished by the next', async (n) => {
      const before = await prepared();
      const { signal } = restore(paths(), file, ...hook(n, kill));
      // There are four renames, and with a link one more.
      expect(signal === 'SIGKILL').toBe(
        n < (lstatSync(join(folder, 'real'), { throwIfNoEntry: false }) ? 5 : 4),
      );
      expect(restore(paths())).toEqual(restored);
      expect(now()).toEqual(before);
      expect(leftovers()).toEqual([]);
    });

    it.each([0, 1, 2, 3])('that fails at its rename %d changes nothing', async (n) => {
      const before = await prepared();
      const spoiled = now();
      const { status, stderr } = restore(paths(), file, ...hook(n, fail));
      expect([status, stderr]).toEqual([1, 'the disk says no\n']);
      expect(now()).toEqual(spoiled);
      expect(restore(paths())).toEqual(restored);
      expect(now()).toEqual(before);
      expect(leftovers()).toEqual([]);
    });
  });

  mounting.each([0, 3, 8])(
    'into a mount point, killed before its rename %d, is finished by the next',
    async (n) => {
      mkdirSync(data);
      mount(data, '-t', 'tmpfs', 'none');
      someData();
      const before = seen(data);
      await make();
      spoil();
      expect(restore([data], file, ...hook(n, kill)).signal).toBe('SIGKILL');
      expect(restore()).toEqual(restored);
      expect(seen(data)).toEqual(before);
      expect([...leftovers(), ...leftovers(data)]).toEqual([]);
    },
  );

  it('of what the backup does not hold changes nothing, and says so', async () => {
    someData();
    await make();
    spoil();
    const spoiled = seen(data);
    const { status, stderr } = restore([data, join(folder, 'more')]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/the backup does not hold .*\/more, but .*\/data; correct backup.paths/);
    expect(seen(data)).toEqual(spoiled);
  });

  it('of a backup that is cut short changes nothing', async () => {
    someData();
    await make();
    truncateSync(file, lstatSync(file).size - 30);
    spoil();
    const spoiled = seen(data);
    expect(restore().status).toBe(1);
    expect(seen(data)).toEqual(spoiled);
    expect(leftovers()).toEqual([]);
  });

  it('takes backups that a version before made', () => {
    mkdirSync(join(data, 'sub'), { recursive: true });
    writeFileSync(join(data, 'orders.txt'), 'precious orders\n');
    writeFileSync(join(data, 'sub', 'ü'), 'x');
    symlinkSync('/etc/localtime', join(data, 'absolute'));
    mkdirSync(room);
    execFileSync(process.execPath, [
      '-e',
      `require('tar').create({ cwd: '/', gzip: { level: 1 }, file: process.argv[1], strict: true }, [process.argv[2]])`,
      file,
      relative('/', data),
    ]);
    const before = seen(data);
    spoil();
    // What a killed restore of that version left beside it.
    mkdirSync(join(folder, '.signalbox-before-restore-CP-1.1'));
    expect(restore()).toEqual(restored);
    expect(seen(data)).toEqual(before);
    expect(leftovers()).toEqual([]);
  });
});

describe('a backup is whole no more', () => {
  it.each([
    ['cut short', () => truncateSync(file, lstatSync(file).size - 40)],
    [
      'with a bit flipped',
      () => {
        const bytes = readFileSync(file);
        bytes[Math.floor(bytes.length / 2)]! ^= 1;
        writeFileSync(file, bytes);
      },
    ],
    ['empty', () => writeFileSync(file, '')],
    ['gone', () => rmSync(file)],
  ])('%s', async (_how, damage) => {
    someData();
    const made = await make();
    expect(await kind().isWhole(file, made)).toBe(true);
    damage();
    expect(await kind().isWhole(file, made)).toBe(false);
  });
});

describe('a full disk', () => {
  mounting('is said with what is needed and free, and what was written is gone again', async () => {
    someData();
    writeFileSync(
      join(data, 'noise'),
      Buffer.from(Array.from({ length: 300_000 }, () => Math.floor(Math.random() * 256))),
    );
    mkdirSync(room);
    mount(room, '-t', 'tmpfs', '-o', 'size=200k', 'none');
    await expect(make()).rejects.toMatchObject({
      code: 'ENOSPC',
      message: expect.stringMatching(
        /there is no room for the backup: more than \d+ bytes are needed, \d+ bytes are free in .*\/backups/,
      ),
    });
    expect(readdirSync(room)).toEqual([]);
    // Room for the archive, but not for what it holds: that is unpacked where the step works.
    execFileSync('mount', ['-o', 'remount,size=600k', room]);
    await expect(make()).rejects.toMatchObject({
      code: 'ENOSPC',
      message: expect.stringMatching(
        /there is no room for unpacking the backup to prove it: \d{7} bytes are needed/,
      ),
    });
    expect(readdirSync(room)).toEqual([]);
    const workspace = join(folder, 'work', 'CP-1.1', 'backup-1-1');
    await kind().make({ room: { workspace } } as StepContext, file);
    expect(readdirSync(room)).toEqual(['CP-1.1.backup-1-1.tar.gz']);
    expect(readdirSync(workspace)).toEqual([]);
  });

  mounting('while data is put back is a fault, which changes nothing', async () => {
    mkdirSync(data);
    mount(data, '-t', 'tmpfs', '-o', 'size=1m', 'none');
    writeFileSync(join(data, 'noise'), randomBytes(600_000));
    await make();
    writeFileSync(join(data, 'noise'), 'migrated');
    writeFileSync(join(data, 'ballast'), randomBytes(600_000));
    const held = () =>
      readdirSync(data).map((name) => [name, readFileSync(join(data, name)).toString('hex')]);
    const before = held();
    const context = {
      step: 'undo-migrate',
      key: 'CP-1.1',
      target: { name: 'shop' },
      driver: { room: join(folder, 'room') },
      room: { workspace: join(folder, 'work'), backups: room },
      log: { write: () => undefined, ready: () => undefined },
      signal: new AbortController().signal,
      goesOn: () => Promise.resolve(),
      secrets: {},
      redact: redactor({}),
    } as unknown as StepContext;
    const putBack = () => new MockActivityEnvironment().run(() => kind().restore(context, file, 1));
    const thrown: unknown = await putBack().catch((why: unknown) => why);
    expect(judge(thrown)).toMatchObject({
      is: 'fault',
      cause: 'disk-full',
      message: expect.stringMatching(/putting back .* exited with 1: ENOSPC: no space left/),
    });
    expect(held()).toEqual(before);
    rmSync(join(data, 'ballast'));
    await putBack();
    expect(statSync(join(data, 'noise')).size).toBe(600_000);
  });
});
