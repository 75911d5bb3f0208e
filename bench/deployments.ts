import { setTimeout as sleep } from 'node:timers/promises';
import { bareQueue, startBareWorker } from './peer/bare-worker';
import { median, type Result } from './result';
import type { Servers } from './servers';
import { startSignalbox, token, type Signalbox } from './signalbox';

/** Deployments against the bare workflow: how many a second, and from the click to the first step. */
export async function deployments(servers: Servers, quick: boolean): Promise<Result[]> {
  const lanes = 20;
  const each = quick ? 1 : 4;
  const rounds = quick ? 2 : 6;
  const clicks = quick ? 5 : 50;
  const names = Array.from({ length: lanes }, (_, n) => `target-${n}`);
  let begun: ((at: number) => void) | undefined;
  const began = (step: string) => {
    if (step === 'build' || step === 'admit') begun?.(performance.now());
  };
  const signalbox = await startSignalbox(servers, names, { began });
  const bare = await startBareWorker(servers.temporal, began);
  const { workflow } = servers.temporal.client;

  /** Runs one at a time in each of the lanes. @returns how many ended per second. */
  const perSecond = async (run: (lane: string, n: number) => Promise<unknown>) => {
    const started = performance.now();
    await Promise.all(
      names.map(async (lane) => {
        for (let n = 0; n < each; n++) await run(lane, n);
      }),
    );
    return (lanes * each * 1000) / (performance.now() - started);
  };
  let bareRuns = 0;
  const runBare = () =>
    workflow.execute('fiveActivities', { taskQueue: bareQueue, workflowId: `bare-${bareRuns++}` });
  const runOurs = async (promotions: Map<string, number[]>, lane: string, n: number) => {
    const promotion = promotions.get(lane)![n]!;
    const { status } = (await (await signalbox.start(promotion)).result()) as { status: string };
    if (status !== 'succeeded') throw new Error(`CP-${promotion}.1 ended as ${status}`);
  };
  const approved = async () =>
    new Map(
      await Promise.all(
        names.map(async (lane): Promise<[string, number[]]> => [lane, await signalbox.approved(lane, each)]),
      ),
    );

  const rates: { ours: number; bare: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const promotions = await approved();
    const ours = await perSecond((lane, n) => runOurs(promotions, lane, n));
    const rate = { ours, bare: await perSecond(runBare) };
    // The first round warms up both.
    if (round > 0) rates.push(rate);
  }

  const waits: { ours: number; bare: number }[] = [];
  const toFirstStep = async (start: () => Promise<unknown>) => {
    const first = new Promise<number>((done) => (begun = done));
    const clicked = performance.now();
    const started = start();
    const wait = (await first) - clicked;
    begun = undefined;
    await started;
    return wait;
  };
  for (let n = -3; n < clicks; n++) {
    const [promotion] = (await signalbox.approved(names[0]!, 1)) as [number];
    const ours = await toFirstStep(() => click(signalbox, promotion));
    await ended(servers, promotion);
    const bare = await toFirstStep(async () => {
      const handle = await workflow.start('fiveActivities', {
        taskQueue: bareQueue,
        workflowId: `bare-${bareRuns++}`,
        requestEagerStart: true,
      });
      await handle.result();
    });
    if (n >= 0) waits.push({ ours, bare });
  }
  await bare.stop();
  await signalbox.stop();
  const middle = (all: { ours: number; bare: number }[], side: 'ours' | 'bare') =>
    median(all.map((x) => x[side]));
  return [
    {
      what: 'deployments per second, 20 at once',
      ours: `${middle(rates, 'ours').toFixed(1)}/s`,
      peer: `${middle(rates, 'bare').toFixed(1)}/s, five bare activities`,
      value: median(rates.map((rate) => rate.ours / rate.bare)),
      goal: { least: 1 },
    },
    {
      what: 'click to first step',
      ours: `${middle(waits, 'ours').toFixed(1)} ms`,
      peer: `${middle(waits, 'bare').toFixed(1)} ms, bare start to first activity`,
      value: middle(waits, 'ours') / middle(waits, 'bare'),
      goal: { most: 1.3 },
    },
  ];
}

async function click({ api }: Signalbox, promotion: number): Promise<void> {
  const answer = await fetch(`${api}/promotions/CP-${promotion}/deploy`, {
    method: 'POST',
    // As the page and the command line do.
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'idempotency-key': `click-${promotion}`,
    },
    body: '{}',
  });
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
  await answer.json();
}

async function ended({ db }: Servers, promotion: number): Promise<void> {
  for (;;) {
    const row = await db('promotions').where({ id: promotion }).first('status');
    if (row.status === 'deployed') return;
    await sleep(5);
  }
}
