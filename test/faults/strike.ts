import { setTimeout as sleep } from 'node:timers/promises';
import type { Chance } from './chance';
import type { Fault, Victim } from './matrix';
import type { Stack } from './stack';
import { patienceMs, until } from '../helpers/until';

/**
 * How each victim is struck and helped up again, as its supervisor would: what dies is started again, a stopped worker
 * has a rival meanwhile.
 */
export interface Struck {
  /** When everything was there again. */
  healedAt: number;
  /** What went wrong with the victim itself. */
  wrong: string[];
  /** Ends what the strike began and still runs, once the deployment is over. */
  afterwards(): Promise<void>;
}

/** Longer than a heartbeat may be late (10 s). */
const stopMs = 12_000;

/** @param open lets whoever is held at the failpoint go on. */
export async function strike(
  stack: Stack,
  victim: Victim,
  fault: Fault,
  chance: Chance,
  open: () => void,
): Promise<Struck> {
  const wrong: string[] = [];
  const nothing = () => Promise.resolve();
  // Whoever is held goes on while the victim is away, or once it is back.
  const early = chance.oneOf([true, false]);
  const pause = () => sleep(chance.between(0, 1_500));

  if (victim === 'worker') return strikeWorker();
  if (early && fault !== 'stop') queueMicrotask(open);
  if (victim === 'api') await strikeApi();
  else if (victim === 'temporal') await strikeTemporal();
  else await strikePostgres();
  const healedAt = Date.now();
  open();
  return { healedAt, wrong, afterwards: nothing };

  async function strikeWorker(): Promise<Struck> {
    const held = stack.worker;
    if (fault === 'kill') {
      held.signal('SIGKILL');
      await held.ended;
      await pause();
      stack.worker = await stack.startWorker();
      return { healedAt: Date.now(), wrong, afterwards: nothing };
    }
    if (fault === 'term') {
      held.signal('SIGTERM');
      await pause();
      open();
      await endedWell(held.ended, 'worker');
      stack.worker = await stack.startWorker();
      return { healedAt: Date.now(), wrong, afterwards: nothing };
    }
    if (fault === 'restart') {
      stack.worker = await stack.startWorker();
      held.signal('SIGTERM');
      await pause();
      open();
      await endedWell(held.ended, 'worker');
      return { healedAt: Date.now(), wrong, afterwards: nothing };
    }
    held.signal('SIGSTOP');
    stack.worker = await stack.startWorker();
    const healedAt = Date.now();
    const wakes = async () => {
      held.signal('SIGCONT');
      open();
    };
    // The stopped one wakes while its rival is at work, or when that is done with everything.
    if (early) await sleep(stopMs).then(wakes);
    return {
      healedAt,
      wrong,
      async afterwards() {
        await sleep(Math.max(0, healedAt + stopMs - Date.now()));
        await wakes();
        // What it wanted to do it has tried by now: it answers to SIGTERM only when its step is over.
        held.signal('SIGTERM');
        await endedWell(held.ended, 'the stopped worker');
      },
    };
  }

  async function strikeApi(): Promise<void> {
    const { api } = stack;
    if (fault === 'stop') {
      api.signal('SIGSTOP');
      if (early) open();
      await sleep(stopMs);
      api.signal('SIGCONT');
      return;
    }
    api.signal(fault === 'kill' ? 'SIGKILL' : 'SIGTERM');
    if (fault !== 'kill') open();
    if (fault === 'kill') await api.ended;
    else await endedWell(api.ended, 'API');
    if (fault !== 'restart') await pause();
    stack.api = await stack.startApi();
  }

  async function strikeTemporal(): Promise<void> {
    if (fault === 'stop') return stopped('temporal');
    await away('temporal', fault === 'kill' ? 'SIGKILL' : 'SIGTERM');
    await stack.temporalAnswers();
    if (fault !== 'restart') return;
    await away('temporal', 'SIGTERM');
    await stack.temporalAnswers();
  }

  async function strikePostgres(): Promise<void> {
    if (fault === 'stop') return stopped('postgres');
    if (fault === 'term') {
      // The smart shutdown refuses whoever comes and waits for all others to leave, which a pool does not; an operator
      // then shuts it down fast.
      process.kill(stack.pidsOf('postgres')[0]!, 'SIGTERM');
      await sleep(chance.between(500, 2_000));
    }
    await away('postgres', fault === 'kill' ? 'SIGKILL' : 'SIGINT');
    await stack.postgresAnswers();
  }

  /** Signals a server and waits until another process has taken its place. */
  async function away(server: 'temporal' | 'postgres', name: NodeJS.Signals): Promise<void> {
    const [pid] = stack.pidsOf(server);
    if (pid !== undefined)
      try {
        process.kill(pid, name);
      } catch {
        // It is gone already.
      }
    await until(`${server} to be started again`, () => {
      const [now] = stack.pidsOf(server);
      return now !== undefined && now !== pid;
    });
  }

  async function stopped(server: 'temporal' | 'postgres'): Promise<void> {
    const pids = stack.pidsOf(server);
    const all = (name: NodeJS.Signals) => {
      for (const pid of pids)
        try {
          process.kill(pid, name);
        } catch {
          // A child that has ended meanwhile.
        }
    };
    all('SIGSTOP');
    if (early) open();
    await sleep(stopMs);
    all('SIGCONT');
  }

  async function endedWell(ended: Promise<number | null>, who: string): Promise<void> {
    const code = await Promise.race([ended, sleep(patienceMs, 'late' as const, { ref: false })]);
    if (code !== 0)
      wrong.push(`${who} was asked to end and ${code === 'late' ? 'did not' : `ended with ${code}`}`);
  }
}
