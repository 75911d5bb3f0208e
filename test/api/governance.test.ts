import { Context } from '@temporalio/activity';
import { randomUUID } from 'node:crypto';
import { changeRequestWorkflowId } from '../../workflows/messages';
import { rebindAll } from '../../db/change-content';
import { serveWorld, type Served } from '../helpers/api';
import { completionsOf } from '../helpers/history';
import { gate } from '../helpers/until';
import { makeWorld, type World } from '../helpers/world';

/** Change requests on real parts: drafted, decided by a chain, voided, revised, reminded, expired, in conflict. */
const chain = `environment: production
    dependsOn: [__OTHER__]
    risk: { base: low, paths: [{ match: "src/**", risk: medium, reason: the shop itself }] }
    approval:
      - types: [emergency]
        levels: [{ name: on call, groups: [ops] }]
      - risks: [critical]
        levels:
          - { name: peers, groups: [dev] }
          - { name: board, groups: [ops, security], quorum: 2, mandatory: [security] }
      - risks: [low]
        levels: [{ name: approval, groups: [approvers] }]
        bindsHours: 0.001
      - risks: [high]
        levels: [{ name: approval, groups: [approvers] }]
        remindHours: 0.0002
        escalateHours: 0.0003
        expireHours: 0.0006
      - levels: [{ name: approval, groups: [approvers] }]`;
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld({
    targets: ['shop', 'kiosk', 'docs'],
    extra: chain.replace('dependsOn: [__OTHER__]', ''),
    top: 'groups: { dev: [amir, dora], ops: [anna, dora], security: [sam], nobody: [] }',
  });
  const { shop, docs, ...others } = Object.fromEntries(world.targets);
  world.targets = new Map(
    Object.entries({
      ...others,
      shop: { ...shop!, dependsOn: ['kiosk'] },
      // What changes nothing is of no low risk here: its approval would lapse while a busy machine goes on.
      docs: { ...docs!, risk: { ...docs!.risk, base: 'medium' as const } },
    }),
  );
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const ship = async (more: Record<string, unknown> = {}, change: object = {}) => {
  const { status, body } = await api.post('contributor', '/api/promotions', {
    target: 'docs',
    revision: 'v1',
    title: 'a change',
    submit: true,
    ...more,
    change,
  });
  expect([status, body.detail]).toEqual([201, undefined]);
  return {
    key: body.key as string,
    rfc: `/api/change-requests/${body.changeRequest}`,
    id: Number(body.key.slice(3)),
  };
};
const request = async (rfc: string) => (await api.get(rfc)).body;
const approver = (person: string) => api.somebody(person, ['approver']);
const approve = { decision: 'approve' };

describe('a draft', () => {
  it('knows commits and files since what runs, the risk with its reasons, and what the commits name', async () => {
    const { rfc, key } = await ship(
      { revision: 'v3', submit: false, target: 'kiosk' },
      { rollbackPlan: 'swap back', backupPlan: 'the orders' },
    );
    const draft = await request(rfc);
    expect(draft).toMatchObject({
      status: 'draft',
      promotion: key,
      risk: 'medium',
      computedRisk: 'medium',
      riskReasons: ['medium: touches src/version.txt (the shop itself)'],
      rollbackPlan: 'swap back',
      backupPlan: 'the orders',
      approvals: { complete: false, given: [] },
    });
    expect(draft.commits.map((c: any) => c.subject)).toEqual(['v3', 'v2', 'v1']);
    expect(draft.files).toContainEqual({ path: 'src/version.txt', added: 1, removed: 0 });
    await api.post('contributor', `${rfc}/submit`);
    await api.post('approver', `${rfc}/decisions`, approve);
    const started = await api.post('release-manager', `/api/promotions/${key}/deploy`);
    await world.until('it to be deployed', async () => (await request(rfc)).status === 'completed');
    expect(started.status).toBe(202);
    const { body: item } = await api.post('contributor', '/api/backlog-items', { title: 'back to v1' });
    const next = await ship({ revision: 'v1', target: 'kiosk', submit: false, backlogItems: [item.key] });
    // Back to v1: no new commit, one file differs from what runs.
    expect(await request(next.rfc)).toMatchObject({
      commits: [],
      files: [{ path: 'src/version.txt', added: 1, removed: 1 }],
      lines: 2,
      backlogItems: [item.key],
    });
  });

  it('may be raised freely, and lowered only with a reason that approvers see', async () => {
    const raised = await ship({}, { risk: 'high' });
    expect(await request(raised.rfc)).toMatchObject({ risk: 'high', computedRisk: 'medium' });
    const refused = await api.post('contributor', '/api/promotions', {
      target: 'docs',
      revision: 'v1',
      title: 't',
      change: { risk: 'low' },
    });
    expect([refused.status, refused.body.detail]).toEqual([
      400,
      expect.stringMatching(/make this a medium risk; to lower it to low, say why in riskReason/),
    ]);
    const lowered = await ship({}, { risk: 'low', riskReason: 'only a word' });
    expect(await request(lowered.rfc)).toMatchObject({ risk: 'low', riskReason: 'only a word' });
  });
});

describe('the chain', () => {
  it('is decided in order, one person a seat, with its mandatory group', async () => {
    const { rfc, key } = await ship({}, { risk: 'critical' });
    const [amir, dora, anna, sam, zoe] = await Promise.all(
      ['amir', 'dora', 'anna', 'sam', 'zoe'].map(approver),
    );
    const decide = async (who: typeof amir) => {
      const { status, body } = await who!.post(`${rfc}/decisions`, approve);
      return status === 201 ? body.status : `${status} ${body.code}`;
    };
    expect(await decide(zoe)).toBe('403 not-eligible');
    expect(await decide(anna)).toBe('422 not-your-turn');
    expect(await decide(dora)).toBe('submitted');
    expect(await decide(dora)).toBe('409 already-approved');
    expect((await request(rfc)).approvals.levels).toEqual([
      { name: 'peers', seats: [{ groups: ['dev'], filledBy: 'dora' }], missing: [] },
      {
        name: 'board',
        seats: [
          { groups: ['security'], filledBy: null },
          { groups: ['ops', 'security'], filledBy: null },
        ],
        missing: ['one of security', 'one of ops or security'],
      },
    ]);
    // amir takes the seat of dora, who moves up to the board: nobody who overlaps stands in the way.
    expect(await decide(amir)).toBe('submitted');
    expect((await request(rfc)).approvals.levels[1].seats[1].filledBy).toBe('dora');
    expect(await decide(anna)).toBe('422 seat-taken');
    expect(await decide(sam)).toBe('approved');
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('approved');
  });

  it('counts the groups that somebody was in when they decided, whatever becomes of them', async () => {
    const { rfc } = await ship({}, { risk: 'critical' });
    const dora = await approver('dora');
    await dora.post(`${rfc}/decisions`, approve);
    const targets = world.targets;
    world.targets = new Map([...targets].map(([name, target]) => [name, { ...target, groups: {} }]));
    expect((await request(rfc)).approvals.levels[0].seats).toEqual([{ groups: ['dev'], filledBy: 'dora' }]);
    const amir = await approver('amir');
    expect((await amir.post(`${rfc}/decisions`, approve)).body.code).toBe('not-eligible');
    world.targets = targets;
  });

  it('of an emergency is its own, shorter one', async () => {
    const { rfc } = await ship({}, { type: 'emergency', emergencyReason: 'it burns', risk: 'critical' });
    expect((await request(rfc)).approvals.levels).toEqual([
      { name: 'on call', seats: [{ groups: ['ops'], filledBy: null }], missing: ['one of ops'] },
    ]);
    const anna = await approver('anna');
    expect((await anna.post(`${rfc}/decisions`, approve)).body.status).toBe('approved');
  });

  it('ends with one rejection, which needs a comment', async () => {
    const { rfc, key } = await ship({}, { risk: 'critical' });
    const sam = await approver('sam');
    expect((await sam.post(`${rfc}/decisions`, { decision: 'reject' })).status).toBe(400);
    const rejected = await sam.post(`${rfc}/decisions`, { decision: 'reject', comment: 'not signed' });
    expect(rejected.body).toMatchObject({ status: 'rejected', outcome: 'rejected by sam: not signed' });
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('rejected');
  });

  it('an approval can be withdrawn until the deployment starts', async () => {
    const { rfc, key } = await ship();
    const amir = await approver('amir');
    expect((await amir.post(`${rfc}/withdraw-decision`)).body.code).toBe('nothing-to-withdraw');
    await amir.post(`${rfc}/decisions`, approve);
    const back = await amir.post(`${rfc}/withdraw-decision`, { reason: 'wrong one' });
    expect(back.body).toMatchObject({
      status: 'submitted',
      outcome: 'amir withdrew the approval: wrong one',
    });
    expect((await api.post('release-manager', `/api/promotions/${key}/deploy`)).body.code).toBe(
      'not-approved',
    );
    // One may approve again after that.
    expect((await amir.post(`${rfc}/decisions`, approve)).body.status).toBe('approved');
    await api.post('release-manager', `/api/promotions/${key}/deploy`);
    await world.until('the end', async () => (await request(rfc)).status === 'completed');
    const late = await amir.post(`${rfc}/withdraw-decision`);
    expect([late.status, late.body.detail]).toEqual([
      409,
      expect.stringMatching(/until the deployment starts/),
    ]);
  });
});

describe('an approval binds to what it was given for', () => {
  const approved = async (change: object = {}) => {
    const shipped = await ship({}, change);
    expect((await api.post('approver', `${shipped.rfc}/decisions`, approve)).body.status).toBe('approved');
    return shipped;
  };
  it.each<[string, object]>([
    ['the risk', { risk: 'critical' }],
    ['the plan', { rollbackPlan: 'pray' }],
    ['the title', { title: 'another' }],
    ['the time', { planned: { start: '2031-01-01T10:00:00Z', minutes: 30 } }],
    ['the revision', { revision: 'v2' }],
    ['the type', { type: 'emergency', emergencyReason: 'now' }],
  ])('a change of %s voids it, and says whose it was', async (_what, patch) => {
    const { rfc, key } = await approved();
    const before = await request(rfc);
    const { status, body } = await api.patch('contributor', rfc, patch);
    expect([status, body.status, body.voided]).toEqual([200, 'submitted', ['amir']]);
    expect(body.outcome).toMatch(/this voids the approval of amir/);
    expect(body.digest).not.toBe(before.digest);
    expect(body.approvals.given).toEqual([]);
    expect((await api.get(`/api/promotions/${key}`)).body.status).toBe('pending');
    const [entry] = await world
      .db('audit')
      .where({ action: 'change-request.edited', subject: key.replace('CP', 'RFC') });
    expect(JSON.parse(entry.entry)).toMatchObject({
      actor: 'carla',
      before: expect.any(Object),
      after: expect.any(Object),
    });
  });
  it('changed back it is still void: what was given before does not revive', async () => {
    const { rfc } = await approved();
    await api.patch('contributor', rfc, { title: 'another' });
    const back = await api.patch('contributor', rfc, { title: 'a change' });
    expect([back.body.status, back.body.approvals.given]).toEqual(['submitted', []]);
  });
  it('an edit that changes nothing voids nothing', async () => {
    const { rfc } = await approved();
    expect((await api.patch('contributor', rfc, { title: 'a change' })).body).toMatchObject({
      status: 'approved',
      voided: [],
    });
  });
  it('a decision on what one looked at before the edit does not count', async () => {
    const { rfc } = await ship();
    const { digest, version } = await request(rfc);
    expect(
      (await api.patch('contributor', rfc, { title: 'other' }, { 'if-match': `"${version}"` })).status,
    ).toBe(200);
    const stale = await api.post('approver', `${rfc}/decisions`, { ...approve, digest });
    expect([stale.status, stale.body.code]).toEqual([412, 'stale-version']);
    expect(
      (await api.patch('contributor', rfc, { title: 'third' }, { 'if-match': `"${version}"` })).status,
    ).toBe(412);
    const { digest: fresh } = await request(rfc);
    expect((await api.post('approver', `${rfc}/decisions`, { ...approve, digest: fresh })).body.status).toBe(
      'approved',
    );
  });
  it('how the target builds is a part of it: at the next read of the file, and at the click', async () => {
    const [first, second] = [await approved(), await approved()];
    const targets = world.targets;
    const docs = targets.get('docs')!;
    world.targets = new Map([
      ...targets,
      ['docs', { ...docs, build: { ...docs.build, output: 'elsewhere' } }],
    ]);
    try {
      const started = await api.post('release-manager', `/api/promotions/${first.key}/deploy`);
      expect([started.status, started.body.code]).toEqual([422, 'approval-void']);
      expect(await request(first.rfc)).toMatchObject({
        status: 'submitted',
        outcome: expect.stringMatching(/how docs is deployed was changed.*voids the approval of amir/),
      });
      const voided = await rebindAll(world.db, world.targets);
      expect(voided.map(({ id }) => id)).toContain(second.id);
      expect((await request(second.rfc)).status).toBe('submitted');
    } finally {
      world.targets = targets;
      await rebindAll(world.db, targets);
    }
  });
});

it('a recipe that changes while it is built is seen by the swap', async () => {
  const { rfc, key } = await ship();
  await api.post('approver', `${rfc}/decisions`, approve);
  const targets = world.targets;
  world.faults.backup = async (run) => {
    const done = await run();
    const docs = targets.get('docs')!;
    world.targets = new Map([
      ...targets,
      ['docs', { ...docs, build: { ...docs.build, argv: [...docs.build.argv, '--fast'] } }],
    ]);
    return done;
  };
  const started = await api.post('release-manager', `/api/promotions/${key}/deploy`);
  const end = await world.until('the end', async () => {
    const found = (await api.get(`/api/deployments/${started.body.key}`)).body;
    return found.finishedAt && found;
  });
  world.faults = {};
  world.targets = targets;
  expect(end).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringMatching(/how docs is deployed was changed/),
  });
});

it('a rejected request is revised and submitted anew, with what is different', async () => {
  const { rfc, key } = await ship({}, { description: 'first' });
  await api.post('approver', `${rfc}/decisions`, { decision: 'reject', comment: 'say more' });
  const refused = await api.patch('contributor', rfc, { description: 'second' });
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    expect.stringMatching(/is rejected and can not be changed; revise it first/),
  ]);
  expect((await api.post('contributor', `${rfc}/revise`)).body.status).toBe('draft');
  await api.patch('contributor', rfc, { description: 'second', revision: 'v2' });
  const again = await api.post('contributor', `${rfc}/submit`);
  expect(again.body).toMatchObject({ status: 'submitted', submission: 2, outcome: null });
  expect(again.body.changes.map((c: any) => [c.field, c.before, c.after])).toEqual(
    expect.arrayContaining([
      ['description', 'first', 'second'],
      ['commit', expect.any(String), expect.any(String)],
    ]),
  );
  expect((await api.post('approver', `${rfc}/decisions`, approve)).body.status).toBe('approved');
  expect((await api.get(`/api/promotions/${key}`)).body).toMatchObject({
    status: 'approved',
    revision: 'v2',
  });
  expect((await api.post('contributor', `${rfc}/revise`)).body.code).toBe('illegal-transition');
});

describe('time', () => {
  it('reminds, escalates and lets it expire, by timers that say what they are for', async () => {
    const { rfc, id } = await ship({}, { risk: 'high' });
    const expired = await world.until('it to expire', async () => {
      const found = await request(rfc);
      return found.status === 'rejected' && found;
    });
    expect(expired.outcome).toMatch(/^expired: not decided in 2 s\. Revise it/);
    const row = await world.db('change_requests').where({ id }).first();
    expect(row.reminded_at).not.toBeNull();
    expect(row.escalated_at).not.toBeNull();
    const { events } = await world.client.workflow
      .getHandle(changeRequestWorkflowId(id, 1, ''))
      .fetchHistory();
    const summaries = events!
      .filter((e) => e.timerStartedEventAttributes)
      .map((e) => Buffer.from(e.userMetadata!.summary!.data!).toString());
    expect(summaries.join()).toMatch(
      new RegExp(
        `Remind the approvers of RFC-${id}.*Escalate: nobody has decided on RFC-${id}.*RFC-${id} expires`,
      ),
    );
  });
});

it('an approval that nobody uses lapses, and has to be given again', async () => {
  const { rfc, key } = await ship({}, { risk: 'low', riskReason: 'only a word' });
  const given = await api.post('approver', `${rfc}/decisions`, approve);
  expect([given.body.status, given.body.approvals.expiresAt]).toEqual(['approved', expect.any(String)]);
  const lapsed = await world.until('it to lapse', async () => {
    const found = await request(rfc);
    return found.status === 'submitted' && found;
  });
  expect([lapsed.approvals.given, lapsed.outcome]).toEqual([
    [],
    expect.stringMatching(/was not used in 4 s; it has to be given again/),
  ]);
  expect((await api.post('release-manager', `/api/promotions/${key}/deploy`)).body.code).toBe('not-approved');
  expect((await api.post('approver', `${rfc}/decisions`, approve)).body.status).toBe('approved');
});

describe('schedules that overlap', () => {
  const at = (start: string, minutes = 60) => ({ planned: { start, minutes } });
  it('on one target are found at submit, with what, and pass once that is accepted or moved', async () => {
    const first = await ship({ target: 'shop' }, at('2031-03-01T10:00:00Z'));
    const { rfc } = await ship({ target: 'shop', submit: false }, at('2031-03-01T10:30:00Z'));
    const refused = await api.post('contributor', `${rfc}/submit`);
    expect([refused.status, refused.body.code, refused.body.nextFree]).toEqual([
      409,
      'schedule-conflict',
      '2031-03-01T11:00:00.000Z',
    ]);
    expect(refused.body.detail).toContain(
      `overlaps RFC-${first.id} (a change) on shop, 2031-03-01T10:00:00.000Z to 2031-03-01T11:00:00.000Z`,
    );
    expect((await request(rfc)).conflicts).toMatchObject([{ with: `RFC-${first.id}`, target: 'shop' }]);
    await api.patch('contributor', rfc, { conflictsAccepted: 'both are small' });
    expect((await api.post('contributor', `${rfc}/submit`)).body.status).toBe('submitted');
    // Half-open: the next may begin when the other ends.
    const next = await ship({ target: 'shop', submit: false }, at('2031-03-01T11:30:00Z'));
    expect((await api.post('contributor', `${next.rfc}/submit`)).body.status).toBe('submitted');
  });
  it('on targets of which one depends on the other are found both ways', async () => {
    const first = await ship({ target: 'kiosk' }, at('2031-04-01T10:00:00Z'));
    const { rfc } = await ship({ target: 'shop', submit: false }, at('2031-04-01T10:59:00Z'));
    expect((await api.post('contributor', `${rfc}/submit`)).body.detail).toContain(
      `RFC-${first.id} (a change) on kiosk`,
    );
    await ship({ target: 'shop' }, at('2031-05-01T10:00:00Z'));
    const other = await ship({ target: 'kiosk', submit: false }, at('2031-05-01T10:00:00Z'));
    expect((await api.post('contributor', `${other.rfc}/submit`)).body.code).toBe('schedule-conflict');
    const apart = await ship({ target: 'docs', submit: false }, at('2031-05-01T10:00:00Z'));
    expect((await api.post('contributor', `${apart.rfc}/submit`)).body.status).toBe('submitted');
  });
  it('are found when a deployment begins', async () => {
    const now = new Date(Date.now() + 60_000).toISOString();
    const planned = await ship({ target: 'kiosk' }, at(now));
    const { rfc, key } = await ship({ target: 'shop' });
    await api.post('approver', `${rfc}/decisions`, approve);
    const refused = await api.post('release-manager', `/api/promotions/${key}/deploy`);
    expect([refused.status, refused.body.code]).toEqual([409, 'schedule-conflict']);
    expect(refused.body.detail).toContain(`RFC-${planned.id} (a change) on kiosk`);
    expect((await api.get(`/api/promotions/${key}`)).body.deployments).toEqual([]);
    await api.post('contributor', `${planned.rfc}/cancel`);
    expect((await api.post('release-manager', `/api/promotions/${key}/deploy`)).status).toBe(202);
    await world.until('the end', async () => (await request(rfc)).status === 'completed');
  });
});

describe('by signal', () => {
  it('a decision that the API signed counts the same, whoever sends it', async () => {
    const { rfc, id } = await ship();
    const { digest } = await request(rfc);
    const workflowId = changeRequestWorkflowId(id, 1, '');
    const said = world.keyring.sign('decision', workflowId, {
      id: randomUUID(),
      approver: 'anna',
      decision: 'approve',
      digest,
    });
    await world.client.workflow.getHandle(workflowId).signal('approvalDecision', said);
    await world.until('the verdict', async () => (await request(rfc)).status === 'approved');
    expect((await request(rfc)).decisions).toMatchObject([{ approver: 'anna', counted: true }]);
  });

  it('more signals than fit into a run continue as new without losing one', async () => {
    const { rfc, id } = await ship({}, { risk: 'critical' });
    const { digest } = await request(rfc);
    const workflowId = changeRequestWorkflowId(id, 1, '');
    const handle = world.client.workflow.getHandle(workflowId);
    const count = 1_500;
    const ids = Array.from({ length: count }, () => randomUUID());
    const queue = [...ids];
    const send = async () => {
      for (let next = queue.pop(); next; next = queue.pop())
        await handle.signal(
          'approvalDecision',
          world.keyring.sign('decision', workflowId, {
            id: next,
            approver: 'amir',
            decision: 'approve',
            digest,
          }),
        );
    };
    await Promise.all(Array.from({ length: 20 }, send));
    await world.until('every verdict', async () => {
      const { rows } = await world.db.raw(
        'SELECT count(*)::integer AS n FROM decisions WHERE change_request = ?',
        [id],
      );
      return rows[0].n === count;
    });
    const rows = await world.db('decisions').where({ change_request: id });
    expect(new Set(rows.map((row) => row.id))).toEqual(new Set(ids));
    expect(rows.filter((row) => row.counted)).toHaveLength(1);
    await world.until('another run to go on', async () => {
      const { firstRunId, execution } = (await handle.describe()).raw.workflowExecutionInfo!;
      return firstRunId !== execution!.runId;
    });
    const [dora, sam] = [await approver('dora'), await approver('sam')];
    await sam.post(`${rfc}/decisions`, approve);
    expect((await dora.post(`${rfc}/decisions`, approve)).body.status).toBe('approved');
  });

  it('a flood that comes while a decision is recorded is not lost, also when another worker goes on', async () => {
    const { rfc, id } = await ship({}, { risk: 'critical' });
    const { digest } = await request(rfc);
    const workflowId = changeRequestWorkflowId(id, 1, '');
    const handle = world.client.workflow.getHandle(workflowId);
    const say = () => {
      const said = { id: randomUUID(), approver: 'amir', decision: 'approve', digest } as const;
      return handle.signal('approvalDecision', world.keyring.sign('decision', workflowId, said));
    };
    const flooded = gate();
    let calls = 0;
    world.faults.decide = world.faults.decideTogether = async (run) => {
      calls += 1;
      if (calls === 1) await flooded.opened;
      else await Context.current().cancelled;
      return run();
    };
    await say();
    await world.until('it to be recorded', () => calls === 1);
    // Temporal fails a workflow's task beside which more than a hundred come.
    for (let n = 0; n < 15; n++) await Promise.all(Array.from({ length: 20 }, say));
    flooded.open();
    await world.until('the next ones to be recorded', () => calls > 1);
    await world.until('the first to stand in the history', async () => {
      const { events } = await handle.fetchHistory();
      return ['decide', 'decideTogether'].some((name) => completionsOf(events!, name).length > 0);
    });
    await world.stopWorkers();
    world.faults = {};
    await world.startWorkers();
    await world.until('every verdict', async () => {
      const decided = await world.db('decisions').where({ change_request: id });
      return decided.length === 301;
    });
  });

  it('a decision that was acknowledged survives every worker stopping right after it', async () => {
    const { rfc, key } = await ship();
    await world.stopWorkers();
    const quick = await serveWorld(world, { verdictMs: 100 });
    const { status } = await quick.post('approver', `${rfc}/decisions`, approve, {
      'idempotency-key': `k-${key}`,
    });
    expect(status).toBe(202);
    await quick.stop();
    await world.startWorkers();
    await world.until('the verdict', async () => (await request(rfc)).status === 'approved');
    // The same request again finds the same decision.
    const again = await api.post('approver', `${rfc}/decisions`, approve, { 'idempotency-key': `k-${key}` });
    expect([again.status, (await request(rfc)).decisions.length]).toEqual([202, 1]);
  });
});
