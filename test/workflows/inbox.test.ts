import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Activities } from '../../activities';
import { revise } from '../../db/change-content';
import { decide as recordDecision, submit } from '../../db/change-requests';
import type { WordRow } from '../../db/words';
import { changeRequestWorkflowId, recoverWorkflowId } from '../../workflows/messages';
import { serveWorld, type Served } from '../helpers/api';
import { completionsOf } from '../helpers/history';
import { gate } from '../helpers/until';
import { hold, reconcile } from '../helpers/steer';
import { makeWorld, type World } from '../helpers/world';

/** Nothing that was said to an attempt and acknowledged is lost: each word ends as done, refused or expired. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'fresh'] });
  api = await serveWorld(world, { verdictMs: 1_500 });
  await world.deploy('v1');
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});
beforeEach(() => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof Activities];
});
type Started = Awaited<ReturnType<World['start']>>;
const keyOf = async (d: Started) => {
  const { promotion, attempt } = await d.row();
  return `CP-${promotion}.${attempt}`;
};
const wordsOf = async (d: Started) =>
  (await world
    .db('words')
    .where({ deployment: (await d.row()).id })
    .orderBy('id')) as WordRow[];

/** One pass of reconciling, with words old enough to be looked at. */
async function reconcileWords(): Promise<string[]> {
  await world.owner('words').update({ created_at: new Date(Date.now() - 60_000) });
  return reconcile(world);
}
/** A deployment that waits for the lane, behind one that is held in its build. */
async function waiting() {
  const build = hold(world, 'build', { once: true });
  const first = await world.start(await world.approved('v3'));
  await build.there;
  const second = await world.start(await world.approved('v2'));
  await world.until('it to wait', async () => (await second.row())?.waiting_for?.includes('position 1'));
  return { first, second, letFirstGo: build.go };
}

it('a cancel that is heard during a slow acquireLane is not lost when the run continues as new', async () => {
  const { first, second, letFirstGo } = await waiting();
  const lane = hold(world, 'acquireLane', { once: true });
  await second.handle.signal('laneFree');
  await lane.there;
  for (let n = 0; n < 1_100; n += 100)
    await Promise.all(Array.from({ length: 100 }, () => second.handle.signal('windowChanged')));
  const heard = gate();
  world.faults.heard = async (run) => run().finally(() => setTimeout(heard.open, 300));
  await second.handle.signal('cancelDeployment', world.cancelOf(second.handle.workflowId));
  await heard.opened;
  lane.go();
  await world.until('it to be cancelled', async () => (await second.row()).status === 'cancelled');
  letFirstGo();
  await first.handle.result();
  expect(await second.row()).toMatchObject({ status: 'cancelled' });
  expect(world.version()).toBe('v3');
  expect(await wordsOf(second)).toMatchObject([{ kind: 'cancel', status: 'done' }]);
});

it('what is said beside a flood is heard, also when another worker goes on', async () => {
  const { first, second } = await waiting();
  const lane = hold(world, 'acquireLane', { once: true });
  await second.handle.signal('laneFree');
  await lane.there;
  const heard = gate();
  world.faults.heard = async () => {
    heard.open();
    await Context.current().cancelled;
  };
  // Temporal fails a workflow's task beside which more than a hundred come.
  const flood = () => Promise.all(Array.from({ length: 60 }, () => second.handle.signal('windowChanged')));
  await flood();
  await second.handle.signal('cancelDeployment', world.cancelOf(second.handle.workflowId));
  for (let n = 0; n < 3; n++) await flood();
  await heard.opened;
  lane.go();
  await world.until('its lane to stand in the history', async () => {
    const { events } = await second.handle.fetchHistory();
    return completionsOf(events!, 'acquireLane').length > 0;
  });
  await world.stopWorkers();
  world.faults = {};
  // The first one is held again, or it might be done before the cancel is heard, and the lane free.
  const again = hold(world, 'build', { once: true });
  await world.startWorkers();
  await world.until('it to be cancelled', async () => (await second.row()).status === 'cancelled');
  again.go();
  await first.handle.result();
  await second.handle.result();
});

it('a resolve that comes while the failure of the rollback is being recorded counts', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const recording = hold(world, 'rollbackFailed', { effectFirst: true, once: true });
  const d = await world.start(await world.approved('sick'));
  await recording.there;
  delete world.faults.undoSwap;
  expect(await d.row()).toMatchObject({ status: 'rollback-failed' });
  const said = await api.post('sre', `/api/deployments/${await keyOf(d)}/resolve`, {
    action: 'retry',
    reason: 'repaired',
  });
  expect(said).toMatchObject({ status: 202, body: { words: [{ kind: 'resolve', status: 'waiting' }] } });
  expect(said.body.words[0].outcome).toMatch(/recorded and waits to be heard/);
  // The workflow has the answer before it knows that there is something to answer.
  await world.until('it to be handed over', async () => {
    const { events } = await d.handle.fetchHistory();
    const asked = events!.findIndex((event) => event.workflowExecutionSignaledEventAttributes);
    return asked >= 0 && events!.slice(asked).some((event) => event.workflowTaskCompletedEventAttributes);
  });
  recording.go();
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
  expect(await wordsOf(d)).toMatchObject([{ status: 'done', outcome: 'The undo is tried again.' }]);
});

it('a workflow that is refused at admission with a signal waiting ends', async () => {
  await world.stopWorkers();
  const d = await world.start(await world.shipped('v3'));
  await d.handle.signal('cancelDeployment', world.cancelOf(d.handle.workflowId));
  await world.startWorkers();
  await world.until(
    'its workflow to end',
    async () => (await d.handle.describe()).status.name === 'COMPLETED',
  );
  expect(await d.row()).toMatchObject({ status: 'refused' });
});

it('accepting what cannot be observed is refused with the reason, and does not come true later', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  // Who reads the targets file finds no shop in it.
  const { targets } = world;
  world.targets = new Map([...targets].filter(([name]) => name !== 'shop'));
  const key = await keyOf(d);
  const accept = () =>
    api.post('sre', `/api/deployments/${key}/resolve`, { action: 'accept', reason: 'leave it' });
  const said = await accept();
  expect(said).toMatchObject({ status: 422, body: { code: 'word-refused' } });
  expect(said.body.detail).toMatch(/Nobody could say what is live/);
  expect(await wordsOf(d)).toMatchObject([{ action: 'accept', status: 'refused' }]);
  world.targets = targets;
  await sleep(1_500);
  expect(await d.row()).toMatchObject({ status: 'rollback-failed' });
  expect(await accept()).toMatchObject({ status: 202, body: { words: [{}, { status: 'done' }] } });
  await d.handle.result();
  const trail = (await world.db('audit').where({ subject: key }).orderBy('id').select('action')) as {
    action: string;
  }[];
  expect(trail.map(({ action }) => action).filter((action) => action.startsWith('resolve.'))).toEqual([
    'resolve.said',
    'resolve.refused',
    'resolve.said',
    'resolve.done',
  ]);
  delete world.faults.undoSwap;
  await world.deploy('v1');
});

it('of two answers the first counts, and the other says so', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  delete world.faults.undoSwap;
  await world.stopWorkers();
  const say = async (action: string) =>
    api.post('sre', `/api/deployments/${await keyOf(d)}/resolve`, { action, reason: action });
  const answers = [await say('retry'), await say('accept')];
  expect(answers.map(({ status }) => status)).toEqual([202, 202]);
  await world.startWorkers();
  await d.handle.result();
  expect(await wordsOf(d)).toMatchObject([
    { action: 'retry', status: 'done' },
    { action: 'accept', status: 'expired', outcome: 'sven had answered before; that counts.' },
  ]);
  expect((await d.row()).outcome).not.toContain('accepted');
});

it('an answer to an earlier question does not answer the next', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  const { version } = await d.row();
  await world.stopWorkers();
  const say = async (action: string) =>
    api.post('sre', `/api/deployments/${await keyOf(d)}/resolve`, { action, reason: action });
  await say('retry');
  await say('accept');
  // Both are heard before the first of them is recorded.
  let heard = 0;
  const both = gate();
  world.faults.heard = (run) =>
    run().finally(() => setTimeout(() => void (++heard === 2 && both.open()), 300));
  world.faults.resumeRollback = (run) => both.opened.then(run);
  await world.startWorkers();
  await world.until('the undo to fail again, or it to end', async () => {
    const now = await d.row();
    return (now.status === 'rollback-failed' && now.version >= version + 2) || now.finished_at;
  });
  await sleep(2_000);
  expect(await d.row()).toMatchObject({ status: 'rollback-failed' });
  expect(await wordsOf(d)).toMatchObject([{ status: 'done' }, { action: 'accept', status: 'expired' }]);
  delete world.faults.undoSwap;
  await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'retry'));
  await d.handle.result();
});

it('a word is one word by its id, however it is written', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  const { version } = await d.row();
  const said = world.resolutionOf(d.handle.workflowId, 'retry');
  const permuted = Object.fromEntries(Object.entries(said).reverse());
  expect(JSON.stringify(permuted)).not.toBe(JSON.stringify(said));
  await d.handle.signal('resolveRollback', said);
  await world.until('it to fail again', async () => {
    const now = await d.row();
    return now.status === 'rollback-failed' && now.version >= version + 2;
  });
  const again = (await d.row()).version;
  await d.handle.signal('resolveRollback', permuted);
  await world.until('it to be refused', () =>
    world
      .db('audit')
      .where({ action: 'signal.refused' })
      .whereLike('entry', '%a repeat changes nothing%')
      .first(),
  );
  expect(await d.row()).toMatchObject({ status: 'rollback-failed', version: again });
  delete world.faults.undoSwap;
  await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'retry'));
  await d.handle.result();
});

it('a cancel that was said to a lost workflow is heard by its recovery, although all was done', async () => {
  const check = hold(world, 'healthCheck', { effectFirst: true, once: true });
  const d = await world.start(await world.approved('v2'));
  await check.there;
  await d.handle.terminate('by hand');
  const key = await keyOf(d);
  const said = await api.post('release-manager', `/api/deployments/${key}/cancel`, { reason: 'stop it' });
  expect(said).toMatchObject({ status: 202, body: { words: [{ kind: 'cancel', status: 'waiting' }] } });
  await reconcileWords();
  const { promotion, attempt } = await d.row();
  await world.client.workflow.getHandle(recoverWorkflowId(promotion, attempt, '')).result();
  expect(await d.row()).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining('Cancelled by rosa: stop it.'),
  });
  expect(await wordsOf(d)).toMatchObject([{ status: 'done' }]);
  await world.checkEnded(await d.row());
});

it('a word whose signal was lost is signalled again by reconcile', async () => {
  const build = hold(world, 'build', { once: true });
  const d = await world.start(await world.approved('v2'));
  await build.there;
  const { id: deployment } = await d.row();
  await world
    .db('words')
    .insert({ deployment, kind: 'cancel', said_by: 'rosa', request: 'of an API that was killed' });
  await reconcileWords();
  await world.until('it to be cancelled', async () => (await d.row()).status === 'rolled-back');
  expect(await wordsOf(d)).toMatchObject([{ status: 'done' }]);
  await d.handle.result();
});

it('a cancel that comes too late expires, and is answered so', async () => {
  const record = hold(world, 'recordEnd', { once: true });
  const d = await world.start(await world.approved('v2'));
  await record.there;
  const said = api.post('release-manager', `/api/deployments/${await keyOf(d)}/cancel`, {});
  await world.until('it to be recorded', async () => (await wordsOf(d)).length === 1);
  record.go();
  expect(await said).toMatchObject({ status: 409, body: { detail: expect.stringContaining('too late') } });
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'succeeded' });
});

describe('a word that has no row, of an older API or typed into the Temporal UI', () => {
  const refusals = async (d: Started) =>
    (
      (await world
        .db('audit')
        .where({ action: 'signal.refused', subject: await keyOf(d) })
        .orderBy('id')
        .select('entry')) as { entry: string }[]
    ).map(({ entry }) => entry);

  it('is refused with a trace when there is nothing to resolve, and does not count later', async () => {
    const build = hold(world, 'build', { once: true });
    const d = await world.start(await world.approved('sick'));
    await build.there;
    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
    await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'accept'));
    await d.handle.signal('resolveRollback', { action: 'accept', by: 'sven', reason: 'by hand' });
    await world.until('both to be refused', async () => (await refusals(d)).length === 2);
    expect((await refusals(d)).join()).toMatch(/only a failed rollback is resolved.*carries no signature/s);
    expect(await wordsOf(d)).toMatchObject([
      { status: 'refused', outcome: expect.stringContaining('is running; only a failed rollback') },
    ]);
    build.go();
    await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
    delete world.faults.undoSwap;
    // Without the id of a request it is known by its signature.
    await d.handle.signal(
      'resolveRollback',
      world.keyring.sign('resolve', d.handle.workflowId, { action: 'retry', by: 'sven', reason: 'repaired' }),
    );
    await d.handle.result();
    expect(await d.row()).toMatchObject({ status: 'rolled-back' });
    expect((await d.row()).outcome).not.toContain('accepted');
    expect(await wordsOf(d)).toMatchObject([{ status: 'refused' }, { action: 'retry', status: 'done' }]);
  });

  it('is heard by a recovery as by the workflow before it', async () => {
    const check = hold(world, 'healthCheck', { effectFirst: true, once: true });
    const d = await world.start(await world.approved('v2'));
    await check.there;
    await d.handle.terminate('by hand');
    const { promotion, attempt } = await d.row();
    const recovery = recoverWorkflowId(promotion, attempt, '');
    const again = hold(world, 'healthCheck', { once: true });
    await reconcileWords();
    await again.there;
    await world.client.workflow
      .getHandle(recovery)
      .signal('cancelDeployment', world.keyring.sign('cancel', recovery, { by: 'rosa', reason: 'stop it' }));
    await world.until('it to be recorded', async () => (await wordsOf(d)).length === 1);
    again.go();
    await world.client.workflow.getHandle(recovery).result();
    expect(await d.row()).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringContaining('Cancelled by rosa: stop it.'),
    });
    expect(await wordsOf(d)).toMatchObject([{ status: 'done' }]);
  });
});

it('an answer that is signalled twice while it is tried counts once', async () => {
  world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
  const d = await world.start(await world.approved('sick'));
  await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
  const { targets } = world;
  world.targets = new Map([...targets].filter(([name]) => name !== 'shop'));
  const accepting = hold(world, 'acceptRollback', { once: true });
  const said = api.post('sre', `/api/deployments/${await keyOf(d)}/resolve`, {
    action: 'accept',
    reason: 'leave it',
  });
  await accepting.there;
  const heard = gate();
  world.faults.heard = async (run) => run().finally(heard.open);
  await reconcileWords();
  await heard.opened;
  accepting.go();
  expect((await said).status).toBeGreaterThanOrEqual(202);
  await world.until('it to be refused', async () => (await wordsOf(d))[0]?.status === 'refused');
  world.targets = targets;
  await sleep(1_500);
  expect(await d.row()).toMatchObject({ status: 'rollback-failed' });
  delete world.faults.undoSwap;
  await d.handle.signal('resolveRollback', world.resolutionOf(d.handle.workflowId, 'retry'));
  await d.handle.result();
  expect(await d.row()).toMatchObject({ status: 'rolled-back' });
});

describe('a decision on a change request that was accepted', () => {
  const decide = (id: number, decision: string) =>
    api.post('approver', `/api/change-requests/RFC-${id}/decisions`, { decision, comment: 'as I see it' });
  const decisionsOn = (id: number) => world.db('decisions').where({ change_request: id });
  const wordOn = (id: number) => world.db('words').where({ change_request: id });
  /** Accepted while no worker is there to hear it; then its workflow is gone. */
  async function lostDecision() {
    const id = await world.shipped('v2');
    await submit(world.db, id, 1, { by: 'carla' });
    await world.stopWorkers();
    const answer = await decide(id, 'approve');
    expect(answer).toMatchObject({
      status: 202,
      body: { status: 'submitted', unheard: [{ approver: 'amir', decision: 'approve' }] },
    });
    expect(answer.body.unheard[0].outcome).toMatch(/waits to be recorded/);
    await world.client.workflow.getHandle(changeRequestWorkflowId(id, 1, '')).terminate('by hand');
    return id;
  }

  it('is recorded although its workflow was terminated before it heard it', async () => {
    const id = await lostDecision();
    await world.startWorkers();
    await world.until('its verdict', async () => {
      await reconcileWords();
      return (await decisionsOn(id)).length > 0;
    });
    expect(await decisionsOn(id)).toMatchObject([
      { approver: 'amir', counted: true, comment: 'as I see it' },
    ]);
    expect(await wordOn(id)).toMatchObject([{ status: 'done', outcome: 'It counts.' }]);
    const { body } = await api.get(`/api/change-requests/RFC-${id}`);
    expect(body).toMatchObject({ status: 'approved', unheard: [] });
  });

  it('is refused with the reason when the request has moved on meanwhile', async () => {
    const id = await lostDecision();
    expect((await api.post('contributor', `/api/change-requests/RFC-${id}/cancel`, {})).status).toBe(200);
    await world.startWorkers();
    await reconcileWords();
    expect(await decisionsOn(id)).toMatchObject([
      { approver: 'amir', counted: false, refusal: expect.stringContaining(`RFC-${id} is cancelled`) },
    ]);
    expect(await wordOn(id)).toMatchObject([
      { status: 'refused', outcome: expect.stringContaining(`RFC-${id} is cancelled`) },
    ]);
    // Once: the next pass finds nothing to do.
    await reconcileWords();
    expect(await decisionsOn(id)).toHaveLength(1);
  });

  it('is not counted for what a later submission says', async () => {
    const id = await lostDecision();
    await revised(id);
    await world.startWorkers();
    await reconcileWords();
    expect(await decisionsOn(id).where({ approver: 'amir' })).toMatchObject([
      { counted: false, submission: 1, refusal: expect.stringContaining('submitted anew since') },
    ]);
    expect(await world.db('change_requests').where({ id }).first()).toMatchObject({
      submission: 2,
      status: 'submitted',
    });
  });

  /** Rejected by somebody else, revised and submitted again, past what waits. */
  async function revised(id: number) {
    const rejected = { id: randomUUID(), changeRequest: id, submission: 1, approver: 'anna' };
    await recordDecision(world.db, { ...rejected, decision: 'reject', comment: 'no' });
    await revise(world.db, id, { by: 'carla' });
    await submit(world.db, id, 2, { by: 'carla' });
  }
});
