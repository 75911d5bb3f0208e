import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultPayloadConverter, toPayloads } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createActivities } from '../../activities';
import { run } from '../../cli/embedded/fetch-part';
import { deploymentById } from '../../db/deployments';
import { isTerminal } from '../../domain/machines';
import { controlQueue, runnerQueue } from '../../temporal-config/names';
import { deployWorkflowId } from '../../workflows/messages';
import { createRemote } from '../../worker/remote-journal';
import { startRunner } from '../../worker/runner';
import type { SignalboxWorker } from '../../worker/worker';
import { serveWorld, type Served } from '../helpers/api';
import { gate } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** Who reaches Temporal may order anything of a worker or a runner: only what the record says is done. */
let world: World;
let api: Served;
let runner: SignalboxWorker;
let victim: string;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop', 'kiosk'] });
  world.targets.get('kiosk')!.runner = { lostAfterSeconds: 60 };
  api = await serveWorld(world);
  const made = await api.post('admin', '/api/tokens', {
    person: 'runner-of-kiosk',
    roles: ['runner:kiosk'],
    expiresAt: null,
  });
  runner = await startRunner({
    temporal: world.temporal,
    target: 'kiosk',
    id: 'one',
    host: 'host',
    version: '1',
    remote: createRemote({ api: `${api.base}/api`, token: made.body.token as string, target: 'kiosk' }),
    deps: world.deps,
    graceMs: 0,
  });
  victim = join(world.folder, 'victim');
});
afterAll(async () => {
  await runner.stop();
  await api.stop();
  await world.stop();
});
beforeEach(() => {
  mkdirSync(victim, { recursive: true });
  writeFileSync(join(victim, 'data'), 'precious\n');
});

const temporal = (...args: string[]) =>
  run(process.env.TEST_TEMPORAL!, [...args, '--address', world.temporal.address]);
const stateOf = async (workflowId: string) =>
  (await world.client.workflow.getHandle(workflowId).describe()).status.name;
let orders = 0;
/** Orders an activity by itself, as whoever reaches Temporal can, and waits for its end. @returns what it said. */
async function order(type: string, taskQueue: string, ...input: unknown[]): Promise<string> {
  const id = `order-${orders++}`;
  await temporal(
    ...['activity', 'start', '--type', type, '--task-queue', taskQueue, '--activity-id', id],
    ...['--start-to-close-timeout', '20s', '--schedule-to-close-timeout', '20s'],
    ...['--retry-maximum-attempts', '1'],
    ...input.flatMap((value) => ['--input', JSON.stringify(value)]),
  );
  return temporal('activity', 'result', '--activity-id', id).then(
    ({ stdout }) => stdout,
    (thrown: { stdout: string; stderr: string; message: string }) =>
      `${thrown.stdout}${thrown.stderr}${thrown.message}`,
  );
}

/**
 * Orders it from a workflow of one's own, under an id of one's choice, as whoever polls for workflows can. @returns what it said.
 */
async function orderFrom(workflowId: string, type: string, taskQueue: string, ...input: unknown[]) {
  const { workflowService: service } = world.client;
  const { namespace } = world.temporal;
  const own = { name: `evil-${randomUUID()}` };
  await temporal(
    ...[
      'workflow',
      'start',
      '--type',
      'deployPromotion',
      '--workflow-id',
      workflowId,
      '--task-queue',
      own.name,
    ],
    ...['--id-conflict-policy', 'TerminateExisting', '--execution-timeout', '1h'],
  );
  const task = await service.pollWorkflowTaskQueue({ namespace, taskQueue: own });
  await service.respondWorkflowTaskCompleted({
    namespace,
    taskToken: task.taskToken,
    commands: [
      {
        commandType: 1,
        scheduleActivityTaskCommandAttributes: {
          activityId: '1',
          activityType: { name: type },
          taskQueue: { name: taskQueue },
          input: toPayloads(defaultPayloadConverter, ...input) && {
            payloads: toPayloads(defaultPayloadConverter, ...input),
          },
          startToCloseTimeout: { seconds: 60 as never },
          scheduleToCloseTimeout: { seconds: 60 as never },
          retryPolicy: { maximumAttempts: 1 },
        },
      },
    ],
  });
  const handle = world.client.workflow.getHandle(workflowId);
  const event = await world.until(`${type} to end`, async () =>
    (await handle.fetchHistory()).events?.find(
      (at) => at.activityTaskCompletedEventAttributes ?? at.activityTaskFailedEventAttributes,
    ),
  );
  await handle.terminate();
  return event.activityTaskFailedEventAttributes?.failure?.message ?? 'done';
}

describe('an order to remove', () => {
  const left = { target: 'kiosk', keep: [], backup: null, old: [] };
  it.each([
    [
      'by the path of an old backup',
      () => [
        'tidy',
        runnerQueue('kiosk', 'one'),
        { ...left, key: 'CP-999.1', old: [{ deployment: 1, reference: victim }] },
      ],
    ],
    [
      'by a key that leads elsewhere',
      () => ['tidy', runnerQueue('kiosk', 'one'), { ...left, key: '../../victim' }],
    ],
    [
      'by the id of an adoption',
      () => ['adoptLive', controlQueue, { id: '../../../../victim', target: 'shop', fence: 1 }],
    ],
  ] as [string, () => [string, string, object]][])('%s removes nothing', async (_how, ordered) => {
    const [type, queue, input] = ordered();
    for (const said of [
      await order(type, queue, input),
      await orderFrom('deploy/CP-999/1', type, queue, input),
    ])
      expect(said).toMatch(/recorded|is not the key of a deployment/);
    expect(existsSync(join(victim, 'data'))).toBe(true);
  });

  it('by a path that the record was told removes nothing elsewhere, and what may go all the same', async () => {
    const first = await world.deploy('v1', 'kiosk');
    const second = await world.deploy('v2', 'kiosk');
    await world.deploy('v3', 'kiosk');
    await world.deploy('v1', 'kiosk');
    const backups = world.owner('backups');
    const own = await backups
      .clone()
      .where({ deployment: (await second.row()).id })
      .first();
    // As a runner's token can record it.
    await backups
      .clone()
      .where({ deployment: (await first.row()).id })
      .update({ reference: victim, verified_at: new Date(0) });
    await backups
      .clone()
      .where({ deployment: own.deployment })
      .update({ verified_at: new Date(1) });
    expect(existsSync(own.reference)).toBe(true);
    await world.deploy('v2', 'kiosk');
    expect(existsSync(join(victim, 'data'))).toBe(true);
    expect(existsSync(own.reference)).toBe(false);
    const removed = await world.db('backups').whereNotNull('removed_at').select('deployment');
    expect(removed).toEqual([{ deployment: own.deployment }]);
  });
});

describe('what is begun in the place of a deployment', () => {
  const unsigned = (promotion: number) => ({
    ...{ promotion, attempt: 1, trigger: 'deploy', startedBy: 'rosa' },
    signature: { key: 'x', mac: 'x' },
  });
  async function approved() {
    const id = await world.approved('v1');
    return { id, key: `CP-${id}`, workflowId: deployWorkflowId(id, 1, '') };
  }
  const begin = (workflowId: string, input: unknown, ...more: string[]) => {
    const queue = more.includes('--task-queue') ? [] : ['--task-queue', controlQueue];
    const type = more.includes('--type') ? [] : ['--type', 'deployPromotion'];
    const given = ['--workflow-id', workflowId, '--input', JSON.stringify(input)];
    return temporal('workflow', 'start', ...type, ...queue, ...given, ...more);
  };
  const refusals = async (subject: string): Promise<string[]> =>
    (await world.db('audit').where({ action: 'signal.refused', subject }).orderBy('id')).map(
      ({ entry }) => (JSON.parse(entry) as { why: string }).why,
    );
  const attempts = (promotion: number) => world.db('deployments').where({ promotion });

  it('again and again by Temporal itself is refused, and ended', async () => {
    const { id, key, workflowId } = await approved();
    await begin(workflowId, unsigned(id), '--cron', '@every 1s');
    await world.until(
      'it to be ended',
      async () => (await stateOf(workflowId)) === 'TERMINATED' || (await attempts(id))[0],
    );
    expect(await attempts(id)).toEqual([]);
    expect(await refusals(key)).toEqual([expect.stringMatching(/signed with a key that is not known/)]);
  });

  it.each([
    ['one that Temporal begins in an hour', ['--cron', '0 * * * *'], /begins again by "0 \* \* \* \*"/],
    ['one that is held back', ['--start-delay', '1h'], /held back/],
    ['one for a queue that nobody serves', ['--task-queue', 'nobody'], /for the queue "nobody"/],
    ['one of another type', ['--type', 'adoptTarget', '--start-delay', '1h'], /of the type adoptTarget/],
    ['one of another type, that has ended', ['--type', 'pruneRecord'], undefined],
  ] as [string, string[], RegExp | undefined][])(
    '%s does not swallow Deploy Now',
    async (_what, how, why) => {
      const { id, key, workflowId } = await approved();
      await begin(workflowId, unsigned(id), ...how);
      if (!why) await world.until('its end', async () => (await stateOf(workflowId)) === 'COMPLETED');
      const asked = await api.post('release-manager', `/api/promotions/${key}/deploy`);
      expect([asked.status, asked.body.accepted]).toEqual([202, undefined]);
      await world.until('it to be deployed', async () => (await attempts(id))[0]?.status === 'succeeded');
      expect(await refusals(`${key}.1`)).toEqual(why ? [expect.stringMatching(why)] : []);
    },
  );

  it('with what was signed for it once takes nothing up that another run had begun', async () => {
    const id = await world.approved('hangs');
    const d = await world.start(id);
    const row = await world.until('it to run', async () => {
      const found = await d.row();
      return found && (await world.log(found)).some(({ text }) => text === 'hanging') && found;
    });
    const { workflowId } = d.handle;
    const said = (await d.handle.fetchHistory()).events![0]!.workflowExecutionStartedEventAttributes!;
    await d.handle.terminate('by somebody');
    await begin(workflowId, defaultPayloadConverter.fromPayload(said.input!.payloads![0]!));
    await world.until('it to end', async () => (await stateOf(workflowId)) !== 'RUNNING');
    expect(await refusals(`CP-${id}.1`)).toEqual([
      expect.stringMatching(/begun by another workflow of this id/),
    ]);
    expect(await d.row()).toMatchObject({ status: 'running', run_id: row.run_id });
    // Nor does a recovery that says that nobody had ended it.
    const recovery = `recover/CP-${id}/1`;
    await begin(
      recovery,
      { deployment: row.id, key: 'x', why: 'x', vanished: true },
      '--type',
      'recoverDeployment',
    );
    await world.until('it to end', async () => (await stateOf(recovery)) === 'FAILED');
    expect(await d.row()).toMatchObject({ status: 'running', owner: workflowId });
    await begin(
      recovery,
      { deployment: row.id, key: 'x', why: 'it went well' },
      '--type',
      'recoverDeployment',
    );
    await world.client.workflow.getHandle(recovery).result();
    expect(await d.row()).toMatchObject({
      status: 'rolled-back',
      outcome: expect.stringMatching(/ended as terminated/),
    });
    await world.checkEnded(await d.row());
  });
});

describe('an answer that somebody gives for a worker', () => {
  type Step = keyof World['faults'];
  /** Holds a step's real activity until the end, answers it from outside, and lets it go. */
  async function answer(step: Step, workflowId: string, result: unknown = null) {
    const pending = await world.until(`${step} to be asked for`, async () => {
      const { raw } = await world.client.workflow
        .getHandle(workflowId)
        .describe()
        .catch(() => ({ raw: undefined }));
      return raw?.pendingActivities?.find(
        ({ activityType, state }) => activityType?.name === step && state === 2,
      );
    });
    await temporal(
      ...['activity', 'complete', '--workflow-id', workflowId],
      ...['--activity-id', pending.activityId!, '--result', JSON.stringify(result)],
    );
  }
  const holding = (...steps: Step[]) => {
    const { opened, open } = gate();
    for (const step of steps)
      world.faults[step] = async (real) => {
        const beat = setInterval(() => Context.current().heartbeat(), 100);
        await opened;
        clearInterval(beat);
        return real();
      };
    const letGo = () => {
      for (const step of steps) delete world.faults[step];
      open();
    };
    held.push(letGo);
    return letGo;
  };
  const held: (() => void)[] = [];
  // One that failed holds nothing back for those after it.
  afterEach(() => {
    for (const letGo of held.splice(0)) letGo();
  });
  const recovered = async (id: number) => {
    const { mend } = createActivities(world.deps);
    return world.until('it to be recovered', async () => {
      // Whoever stands still for a minute is seen to.
      const asked = Date.now() + 90_000;
      await new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: asked }).run(mend);
      const row = await deploymentById(world.db, id);
      return isTerminal('deployment', row.status) && row;
    });
  };
  beforeAll(() => world.deploy('v1'));

  it.each([
    ['a build', 'v2', ['build']],
    ['a backup', 'v2', ['backup']],
    ['the health check of a sick release', 'sick', ['healthCheck']],
    ['an undo and its check', 'sick', ['undoSwap', 'verifyRollback']],
  ] as [string, string, Step[]][])('of %s advances nothing', async (_what, revision, steps) => {
    const before = world.current();
    const letGo = holding(...steps);
    const d = await world.start(await world.approved(revision));
    for (const step of steps) await answer(step, d.handle.workflowId);
    const row = await world.until('it to be taken away', async () => {
      const now = await d.row();
      return (now.owner.startsWith('recover/') || isTerminal('deployment', now.status)) && now;
    });
    expect(row.owner).toBe(`recover/CP-${row.promotion}/1`);
    letGo();
    const end = await recovered(row.id);
    expect(end.status).toBe('rolled-back');
    expect(world.current()).toBe(before);
    await world.checkEnded(end);
    const taken = await world
      .db('audit')
      .where({ action: 'deployment.taken-over', subject: `CP-${end.promotion}.1` })
      .first();
    expect(JSON.parse(taken.entry).why).toMatch(/which no worker has recorded/);
  });

  describe('and writes into the record with the login that Signalbox works by', () => {
    const forge = async (deployment: number, name: string) => {
      const done = { status: 'done', round: 1, attempt: 1, finished_at: new Date() };
      await world
        .db('deployment_steps')
        .insert({ deployment, name, ...done })
        .onConflict(['deployment', 'name'])
        .merge(Object.keys(done));
    };
    const taken = async (row: { promotion: number }) => {
      const entry = await world.until('it to be taken away', () =>
        world
          .db('audit')
          .where({ action: 'deployment.taken-over', subject: `CP-${row.promotion}.1` })
          .first(),
      );
      return (JSON.parse(entry.entry) as { why: string }).why;
    };

    it.each([
      ['unsigned', undefined],
      ['with the signature of another attempt', 'another'],
    ] as const)('%s, makes no sick release healthy', async (_how, whose) => {
      const before = world.current();
      const letGo = holding('healthCheck');
      const d = await world.start(await world.approved('sick'));
      await world.until('it to be checked', async () => (await d.row()) && world.current() !== before);
      const row = await d.row();
      // Nor can it say that the swap never acted, or that no signature is needed.
      const swap = world.db('deployment_steps').where({ deployment: row.id, name: 'swap' });
      await expect(swap.update({ fence: null })).rejects.toThrow(/which stays/);
      const here = world.db('deployments').where({ id: row.id });
      await expect(here.update({ signed: false })).rejects.toThrow(/permission/);
      await forge(row.id, 'health-check');
      if (whose) {
        const signed = await world
          .db('deployment_steps')
          .where({ name: 'health-check', status: 'done' })
          .whereNotNull('signature')
          .first('round', 'attempt', 'scheduled', 'signature');
        const signature = JSON.stringify(signed.signature);
        await world
          .db('deployment_steps')
          .where({ deployment: row.id, name: 'health-check' })
          .update({ ...signed, signature });
      }
      await answer('healthCheck', d.handle.workflowId);
      expect(await taken(row)).toMatch(/health-check does not count, because/);
      letGo();
      expect(await recovered(row.id)).toMatchObject({ status: 'rolled-back' });
      expect(world.current()).toBe(before);
    });

    it('swaps to nothing else than what was built', async () => {
      const before = world.current();
      const letGo = holding('swap');
      const d = await world.start(await world.approved('v2'));
      const row = await world.until('it to be backed up', async () => {
        const now = await d.row();
        const steps = now ? await world.db('deployment_steps').where({ deployment: now.id }) : [];
        return steps.some(({ name, status }) => name === 'backup' && status === 'done') && now;
      });
      const sick = await world
        .db('deployments')
        .join('promotions', 'promotions.id', 'deployments.promotion')
        .where({ 'promotions.revision': 'sick' })
        .whereNotNull('to_release')
        .first('to_release');
      await world.db('deployments').where({ id: row.id }).update({ to_release: sick.to_release });
      letGo();
      expect(await taken(row)).toMatch(/build does not count, because/);
      expect(await recovered(row.id)).toMatchObject({ status: 'rolled-back' });
      expect(world.current()).toBe(before);
    });
  });

  describe('of an act on the record advances nothing, and what then stands still is taken up', () => {
    const acquired = { kind: 'acquired', hadRelease: true };
    const planOf = (deployment: number, key: string) => {
      const limits = { buildMs: 9e4, backupMs: 9e4, swapMs: 9e4, healthMs: 9e4, undoAlarmMs: 9e4 };
      const invented = { title: 'x', revision: 'x', commit: 'x', trigger: 'rollback', migrates: false };
      return {
        deployment,
        key,
        target: 'shop',
        hadRelease: true,
        success: 'It is well.',
        limits,
        ...invented,
      };
    };
    /** A deployment of `v2` that has the lane and stays in its backup, and the next one, which waits for it. */
    async function behindAnother() {
      const letFirst = holding('backup');
      const first = await world.start(await world.approved('v2'));
      await world.until('it to run', async () => (await first.row())?.status === 'running');
      const d = await world.start(await world.approved('v2'));
      await world.until('the other to wait', async () => (await d.row())?.waiting_for?.includes('behind'));
      return { first, d, letFirst };
    }
    let before: string | null;
    beforeEach(() => void (before = world.current()));

    it('the admission', async () => {
      const letGo = holding('admit');
      const id = await world.approved('v2');
      const d = await world.start(id);
      await answer('admit', d.handle.workflowId, { plan: planOf(999_999, `CP-${id}.1`), lane: acquired });
      await expect(d.handle.result()).rejects.toThrow();
      letGo();
      const row = await world.until('it to be admitted', () => d.row());
      expect(await recovered(row.id)).toMatchObject({ status: 'rolled-back' });
      expect(world.current()).toBe(before);
    });
    it('that it has the lane', async () => {
      const { first, d, letFirst } = await behindAnother();
      const letGo = holding('acquireLane');
      await d.handle.signal('laneFree');
      await answer('acquireLane', d.handle.workflowId, acquired);
      const row = await recovered((await d.row()).id);
      expect(row).toMatchObject({
        status: 'cancelled',
        outcome: expect.stringMatching(/nothing was touched/),
      });
      letGo();
      letFirst();
      expect(await first.handle.result()).toMatchObject({ status: 'succeeded' });
    });
    it('that it sleeps, with the lane', async () => {
      const { first, d, letFirst } = await behindAnother();
      const letGo = holding('acquireLane');
      letFirst();
      await first.handle.result();
      before = world.current();
      const until = Date.now() + 3e9;
      await answer('acquireLane', d.handle.workflowId, { kind: 'asleep', until, left: 3e9, why: 'x' });
      letGo();
      await world.until('it to have it', async () => (await d.row()).status === 'running');
      const row = await recovered((await d.row()).id);
      expect(row.status).toBe('rolled-back');
      const told = await world
        .db('audit')
        .where({ action: 'deployment.run-ended', subject: `CP-${row.promotion}.1` })
        .first();
      expect(JSON.parse(told.entry).why).toMatch(/waits for nothing by which it would go on/);
      expect(world.current()).toBe(before);
    });
    it('that it is being rolled back', async () => {
      const letGo = holding('beginRollback');
      const d = await world.start(await world.approved('sick'));
      const began = { migration: false, swap: false, restoresData: false };
      await answer('beginRollback', d.handle.workflowId, began);
      await expect(d.handle.result()).rejects.toThrow();
      letGo();
      expect(await recovered((await d.row()).id)).toMatchObject({ status: 'rolled-back' });
      expect(world.current()).toBe(before);
    });
    it('that its rollback has failed', async () => {
      world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
      const letGo = holding('rollbackFailed');
      const d = await world.start(await world.approved('sick'));
      await answer('rollbackFailed', d.handle.workflowId);
      delete world.faults.undoSwap;
      expect(await recovered((await d.row()).id)).toMatchObject({ status: 'rolled-back' });
      letGo();
      expect(world.current()).toBe(before);
    });
    it('its end', async () => {
      const letGo = holding('recordEnd');
      const d = await world.start(await world.approved('v2'));
      await answer('recordEnd', d.handle.workflowId, { deployment: 'x', status: 'succeeded', outcome: 'x' });
      await d.handle.result();
      const row = await d.row();
      expect(row.status).toBe('running');
      letGo();
      expect(await recovered(row.id)).toMatchObject({ status: 'succeeded' });
      before = world.current();
    });
    it('a cancel in the name of somebody', async () => {
      const letGo = holding('heard');
      const d = await world.start(await world.approved('hangs'));
      await world.until('it to run', async () => (await d.row())?.status === 'running');
      await d.handle.signal('cancelDeployment', { by: 'rosa' });
      await answer('heard', d.handle.workflowId, { by: 'rosa', reason: 'no use' });
      const { outcome } = (await d.handle.result()) as { outcome: string };
      letGo();
      expect(outcome).toMatch(/in the name of somebody who did not say so/);
      expect(world.current()).toBe(before);
    });
    it.each([
      ['that it was taken over', 'takeOver'],
      ['what its target shows', 'amend'],
    ] as const)('%s', async (_what, act) => {
      const letBackup = holding('backup');
      const d = await world.start(await world.approved('v2'));
      const row = await world.until('it to run', async () => {
        const now = await d.row();
        return now?.status === 'running' && now;
      });
      await d.handle.terminate('by somebody');
      const letGo = holding(act);
      const { mend } = createActivities(world.deps);
      const recovery = `recover/CP-${row.promotion}/1`;
      await world.until('its recovery', async () => {
        await new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: Date.now() }).run(mend);
        const list = world.client.workflow.getHandle(recovery).describe();
        return list.then(
          () => true,
          () => false,
        );
      });
      const now = { status: 'running', began: ['health-check'], wentBack: true, doubtful: false, round: 9 };
      await answer(act, recovery, { ...now, plan: planOf(row.id, `CP-${row.promotion}.1`) });
      letBackup();
      letGo();
      expect(await recovered(row.id)).toMatchObject({ status: 'rolled-back' });
      expect(world.current()).toBe(before);
    });
    it('that a request was submitted', async () => {
      const id = await world.shipped('v2');
      const letGo = holding('submitChangeRequest');
      const held = world.faults.submitChangeRequest!;
      // Nor does it ever do what it was answered for.
      world.faults.submitChangeRequest = (_real, name) => held(() => Promise.resolve(), name);
      const submit = () => api.post('contributor', `/api/change-requests/RFC-${id}/submit`);
      const first = submit();
      const workflowId = `rfc/RFC-${id}/1`;
      await answer('submitChangeRequest', workflowId);
      await world.until('it to end', async () => (await stateOf(workflowId)) === 'FAILED');
      letGo();
      expect((await submit()).body.status).toBe('submitted');
      await first;
    });
    it('that a request was rejected', async () => {
      const id = await world.shipped('v2');
      await api.post('contributor', `/api/change-requests/RFC-${id}/submit`);
      const workflowId = `rfc/RFC-${id}/1`;
      const handle = world.client.workflow.getHandle(workflowId);
      await world.until('it to wait', async () => {
        const { raw } = await handle.describe();
        return !raw.pendingWorkflowTask && !raw.pendingActivities?.length;
      });
      const letGo = holding('changeRequestStatus');
      await handle.signal('changeRequestMoved');
      await answer('changeRequestStatus', workflowId, { status: 'rejected' });
      letGo();
      await world.until('it to end', async () => (await stateOf(workflowId)) === 'COMPLETED');
      const { mend } = createActivities(world.deps);
      await new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: Date.now() }).run(mend);
      expect(await stateOf(workflowId)).toBe('RUNNING');
      const said = await api.post('approver', `/api/change-requests/RFC-${id}/decisions`, {
        decision: 'approve',
      });
      expect(said.body.status).toBe('approved');
    });
  });

  it('nor does what its workflow is made to order', async () => {
    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
    const d = await world.start(await world.approved('sick'));
    const row = await world.until('its rollback to fail', async () => {
      const now = await d.row();
      return now?.status === 'rollback-failed' && now;
    });
    delete world.faults.undoSwap;
    const { workflowId } = d.handle;
    const plan = { deployment: row.id, key: `CP-${row.promotion}.1`, target: 'shop', limits: {} };
    const by = { by: 'sven', reason: 'said nobody', request: 'none' };
    for (const [type, ...input] of [
      ['acceptRollback', plan, 'it is well', { ...by, action: 'accept' }],
      ['acceptRollback', plan, 'it is well', { ...by, action: 'accept' }, { live: { kind: 'nothing' } }],
      ['resumeRollback', plan, { ...by, action: 'retry' }],
      ['recordEnd', plan, 'rolled-back', 'it is well'],
    ] as [string, ...unknown[]][])
      await orderFrom(workflowId, type, controlQueue, ...input);
    expect((await deploymentById(world.db, row.id)).status).toBe('rollback-failed');
    const backup = await world.db('backups').where({ deployment: row.id }).first();
    await orderFrom(workflowId, 'backupsRemoved', controlQueue, [row.id]);
    expect(await world.db('backups').where({ deployment: row.id }).first()).toEqual(backup);
    await world.client.workflow
      .getHandle(workflowId)
      .terminate()
      .catch(() => undefined);
  });

  it('nor does what it is told to have seen', async () => {
    const d = await world.start(await world.approved('hangs', 'kiosk'));
    const row = await world.until('it to run', async () => {
      const now = await d.row();
      return now?.status === 'running' && now;
    });
    const release = 'f'.repeat(64);
    const acts = [{ at: new Date().toISOString(), fence: 1, step: 'swap', from: null, to: release }];
    const seen = { acts, live: { kind: 'release', release } };
    await orderFrom(d.handle.workflowId, 'amend', controlQueue, row.id, seen, 'x');
    // Nor by what somebody wrote there with the login that Signalbox works by.
    await world.db('sightings').insert({
      ...{ deployment: row.id, what: 'traces', owner: d.handle.workflowId, found: JSON.stringify(seen) },
    });
    await orderFrom(d.handle.workflowId, 'amend', controlQueue, row.id, seen, 'x');
    expect(await world.db('audit').where({ action: 'deployment.amended' })).toEqual([]);
    expect(await deploymentById(world.db, row.id)).toMatchObject({ to_release: null, observed: null });
    // Nor is it cancelled in anybody's name.
    const plan = { deployment: row.id, key: `CP-${row.promotion}.1`, target: 'kiosk', limits: {} };
    await orderFrom(d.handle.workflowId, 'beginRollback', controlQueue, plan, 'Cancelled by rosa: no use.');
    expect((await deploymentById(world.db, row.id)).failure).toMatch(/somebody who did not say so/);
    expect(await recovered(row.id)).toMatchObject({ status: 'rolled-back' });
  });
});
