import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { run } from '../../cli/embedded/fetch-part';
import { controlQueue } from '../../temporal-config/names';
import { createKeyring, newKey } from '../../temporal-config/signing';
import { changeRequestWorkflowId, deployWorkflowId } from '../../workflows/messages';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** What somebody can do who reaches the Temporal server but not the API: with the real `temporal` program. */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld();
  api = await serveWorld(world);
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

const temporal = (...args: string[]) =>
  run(process.env.TEST_TEMPORAL!, [...args, '--address', world.temporal.address]);
const signal = (workflowId: string, name: string, ...input: string[]) =>
  temporal('workflow', 'signal', '--workflow-id', workflowId, '--name', name, ...input);
const start = (type: string, workflowId: string, ...input: string[]) =>
  temporal(
    ...['workflow', 'start', '--type', type, '--workflow-id', workflowId],
    ...['--task-queue', controlQueue, ...input],
  );
const json = (value: unknown) => ['--input', JSON.stringify(value)];
const refusals = async (subject: string): Promise<string[]> =>
  (await world.db('audit').where({ action: 'signal.refused', subject }).orderBy('id')).map(
    ({ entry }) => (JSON.parse(entry) as { why: string }).why,
  );
const refused = (subject: string, count: number, why: RegExp) =>
  world.until(`refusal ${count} of ${subject}`, async () => {
    const found = await refusals(subject);
    return found.length === count && why.test(found.at(-1)!);
  });
async function submitted(): Promise<{ id: number; key: string; rfc: string; workflow: string }> {
  const ship = { target: 'shop', revision: 'v1', title: 'a change', submit: true };
  const { key } = (await api.post('contributor', '/api/promotions', ship)).body as { key: string };
  const id = Number(key.slice(3));
  return { id, key, rfc: `RFC-${id}`, workflow: changeRequestWorkflowId(id, 1, '') };
}
/** The same bytes in another spelling: the last character of 32 bytes has two bits that say nothing. */
const respelled = (mac: string) => mac.slice(0, -1) + String.fromCharCode(mac.charCodeAt(mac.length - 1) + 1);
const decisions = (id: number) => world.db('decisions').where({ change_request: id });
const status = async (key: string) => (await api.get(`/api/promotions/${key}`)).body.status as string;
const approve = (rfc: string) =>
  api.post('approver', `/api/change-requests/${rfc}/decisions`, { decision: 'approve' });
const aDecision = (digest = '') => ({
  id: randomUUID(),
  approver: 'amir',
  decision: 'approve' as const,
  digest,
});
const ended = async (workflowId: string) =>
  world.client.workflow
    .getHandle(workflowId)
    .result()
    .then(
      () => 'completed',
      (thrown: Error) => String((thrown.cause as Error | undefined)?.message ?? thrown.message),
    );

const folder = mkdtempSync(join(tmpdir(), 'signalbox-forged-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** What is too long for an argument. */
function inFile(text: string): string {
  const file = join(folder, `${randomUUID()}.json`);
  writeFileSync(file, text);
  return file;
}

describe('an approval sent straight to the workflow', () => {
  it('without a signature is recorded as refused and changes nothing', async () => {
    const { id, key, rfc, workflow } = await submitted();
    await signal(workflow, 'approvalDecision', ...json(aDecision()));
    await refused(rfc, 1, /carries no signature/);
    expect([await status(key), await decisions(id)]).toEqual(['pending', []]);
    expect((await approve(rfc)).status).toBe(201);
    expect(await status(key)).toBe('approved');
  });

  it('altered is refused, and does not stand in the way of the true one', async () => {
    const { id, key, rfc, workflow } = await submitted();
    const comment = 'not on a Friday';
    const { digest } = (await api.get(`/api/change-requests/${rfc}`)).body as { digest: string };
    const decision = { ...aDecision(digest), decision: 'reject', comment };
    const said = world.keyring.sign('decision', workflow, decision);
    const alterations = [
      { ...said, decision: 'approve' },
      { ...said, approver: 'anna' },
      { ...said, comment: undefined },
      { ...said, digest: '' },
      { ...said, extra: true },
      { ...said, signature: { ...said.signature, key: 'another' } },
      { ...said, signature: { ...said.signature, mac: said.signature.mac.slice(1) } },
      { ...said, signature: { ...said.signature, mac: respelled(said.signature.mac) } },
      { ...said, signature: 'trust me' },
    ];
    for (const [n, altered] of alterations.entries()) {
      await signal(workflow, 'approvalDecision', ...json(altered));
      await refused(rfc, n + 1, /signature|signed with a key/);
    }
    expect([await status(key), await decisions(id)]).toEqual(['pending', []]);
    await signal(workflow, 'approvalDecision', ...json(said));
    await world.until('the true one', async () => (await status(key)) === 'rejected');
    expect(await decisions(id)).toMatchObject([{ id: said.id, decision: 'reject', comment, counted: true }]);
  });

  it('replayed counts once, for one request', async () => {
    const [first, second] = [await submitted(), await submitted()];
    await approve(first.rfc);
    // What was said stands in the history, for everybody who may read it.
    const { stdout } = await temporal('workflow', 'show', '--workflow-id', first.workflow, '-o', 'json');
    const { events } = JSON.parse(stdout) as { events: any[] };
    const payload = events.find(({ eventType }) => /WORKFLOW_EXECUTION_SIGNALED$/.test(eventType))
      .workflowExecutionSignaledEventAttributes.input.payloads[0];
    const said = Buffer.from(payload.data, 'base64').toString();
    expect(JSON.parse(said)).toMatchObject({ approver: 'amir', signature: { mac: expect.any(String) } });
    await signal(second.workflow, 'approvalDecision', '--input', said);
    await refused(second.rfc, 1, /meant for another workflow/);
    expect([await status(second.key), await decisions(second.id)]).toEqual(['pending', []]);
    await signal(first.workflow, 'approvalDecision', '--input', said);
    await refused(first.rfc, 1, /a repeat changes nothing/);
    const entries = Object.entries(JSON.parse(said) as object).reverse();
    await signal(first.workflow, 'approvalDecision', ...json(Object.fromEntries(entries)));
    await refused(first.rfc, 2, /a repeat changes nothing/);
    expect(await decisions(first.id)).toHaveLength(1);
  });

  const deep = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
  it.each<[string, string[] | (() => string[])]>([
    ['nothing at all', []],
    ['a number', ['--input', '7']],
    ['null', ['--input', 'null']],
    ['a list', ['--input', '[[[]]]']],
    ['an encoding nobody knows', ['--input', '"x"', '--input-meta', 'encoding=binary/strange']],
    ['a protobuf message that is none', ['--input', '"x"', '--input-meta', 'encoding=json/protobuf']],
    ['an encrypted payload', ['--input', '"x"', '--input-meta', 'encoding=binary/encrypted']],
    ['lists in lists', ['--input', deep(6_000)]],
    [
      // Not longer than what is passed on, and deeper than a signature can be looked at: 2,500 levels is where that ends.
      'a signature over lists in lists',
      () => {
        const { key } = world.keyring.sign('start', 'any', {}).signature;
        return ['--input', `{"signature":{"key":"${key}","mac":"x"},"said":${deep(3_500)}}`];
      },
    ],
    ['numbers that are longer written out', ['--input-file', inFile(`[${Array(100_000).fill('1e20')}]`)]],
  ])('as %s stalls nothing', async (_what, sent) => {
    const input = typeof sent === 'function' ? sent() : sent;
    const { id, key, rfc, workflow } = await submitted();
    await signal(workflow, 'approvalDecision', ...input);
    await signal(workflow, 'noSuchSignal', ...input);
    await signal(workflow, 'changeRequestMoved', ...input);
    await refused(rfc, 1, /no signature/);
    expect(await decisions(id)).toEqual([]);
    expect((await approve(rfc)).status).toBe(201);
    expect(await status(key)).toBe('approved');
  });
});

describe('a start by hand', () => {
  const asked = (promotion: number, attempt = 1) =>
    ({ promotion, attempt, trigger: 'deploy', startedBy: 'rosa' }) as const;
  it('of a deployment is refused at admission; the number stays free', async () => {
    const { id, key, rfc } = await submitted();
    await approve(rfc);
    const workflowId = deployWorkflowId(id, 1, '');
    const elsewhere = world.keyring.sign('start', deployWorkflowId(id, 2, ''), asked(id, 2));
    const attempts: string[][] = [
      json(asked(id)),
      json({ ...asked(id), signature: { key: 'k', mac: 'm' } }),
      json({ ...elsewhere, attempt: 1 }),
      [],
      ['--input', '"x"', '--input-meta', 'encoding=binary/strange'],
    ];
    for (const [n, input] of attempts.entries()) {
      await start('deployPromotion', workflowId, ...input);
      expect(await ended(workflowId)).toMatch(/only Signalbox's API starts/);
      await refused(key, n + 1, /signature|signed/);
    }
    expect(await world.db('deployments').where({ promotion: id })).toEqual([]);
    expect(world.current()).toBeNull();

    const deployed = await api.post('release-manager', `/api/promotions/${key}/deploy`);
    expect([deployed.status, deployed.body.key]).toEqual([202, `${key}.1`]);
    // Its workflow still tidies up when the record says deployed; a start beside it would be none.
    expect(await ended(workflowId)).toBe('completed');
    expect(await status(key)).toBe('deployed');
    // The same start once more, as it stands in the history: it was begun once, nothing is done again.
    const fences = (await world.db('targets').where({ name: 'shop' }).first()).fence;
    await start('deployPromotion', workflowId, ...json(world.keyring.sign('start', workflowId, asked(id))));
    expect(await ended(workflowId)).toMatch(/begun by another workflow of this id, and is succeeded/);
    await refused(`${key}.1`, 1, /begun once/);
    expect(await world.db('deployments').where({ promotion: id })).toHaveLength(1);
    expect((await world.db('targets').where({ name: 'shop' }).first()).fence).toBe(fences);
  });

  it('of a change request leaves a draft a draft', async () => {
    const ship = { target: 'shop', revision: 'v1', title: 'a draft' };
    const { key } = (await api.post('contributor', '/api/promotions', ship)).body as { key: string };
    const id = Number(key.slice(3));
    const workflow = changeRequestWorkflowId(id, 1, '');
    await start('changeRequest', workflow, ...json({ changeRequest: id, submission: 1, by: 'carla' }));
    expect(await ended(workflow)).toMatch(/only Signalbox's API starts/);
    expect((await api.get(`/api/change-requests/RFC-${id}`)).body.status).toBe('draft');
    expect((await api.post('contributor', `/api/change-requests/RFC-${id}/submit`)).body.status).toBe(
      'submitted',
    );
  });

  it('in the name of somebody who may not, is refused in the record', async () => {
    const { id, rfc } = await submitted();
    await approve(rfc);
    const workflowId = deployWorkflowId(id, 1, '');
    const signed = world.keyring.sign('start', workflowId, { ...asked(id), startedBy: 'carla' });
    await start('deployPromotion', workflowId, ...json(signed));
    expect(await ended(workflowId)).toBe('completed');
    expect(await world.db('deployments').where({ promotion: id })).toMatchObject([
      { status: 'refused', outcome_code: 'role-required' },
    ]);
  });
});

describe('an API whose signing keys are not those of the workers', () => {
  it('says so to who submits and who deploys, and changes nothing', async () => {
    const keys = { keys: [newKey(new Date())] };
    const other = await serveWorld(world, { verdictMs: 300, keyring: createKeyring(() => keys) });
    try {
      const ship = { target: 'shop', revision: 'v1', title: 'with other keys' };
      const { key: draft } = (await api.post('contributor', '/api/promotions', ship)).body as { key: string };
      // Asked while the workflow has not failed yet, it answers that no worker has recorded it.
      const notBegun = (who: 'contributor' | 'release-manager', path: string) =>
        world.until('it to be known that nothing began', async () => {
          const answer = await other.post(who, path);
          return answer.status !== 202 && answer;
        });
      const submit = await notBegun('contributor', `/api/change-requests/RFC-${draft.slice(3)}/submit`);
      expect(submit).toMatchObject({
        status: 503,
        body: {
          code: 'not-begun',
          detail: expect.stringMatching(/^The approval of RFC-\d+ did not begin. .* the same signing keys/),
        },
      });
      expect((await api.get(`/api/change-requests/RFC-${draft.slice(3)}`)).body.status).toBe('draft');

      const { id, key, rfc } = await submitted();
      await approve(rfc);
      for (let click = 0; click < 2; click++)
        expect(await notBegun('release-manager', `/api/promotions/${key}/deploy`)).toMatchObject({
          status: 503,
          body: {
            code: 'not-begun',
            detail: expect.stringMatching(/^CP-\d+\.1 did not begin. .* the same signing keys/),
          },
        });
      expect(await world.db('deployments').where({ promotion: id })).toEqual([]);
      expect((await api.post('release-manager', `/api/promotions/${key}/deploy`)).status).toBe(202);
      await world.until('it to be deployed', async () => (await status(key)) === 'deployed');
    } finally {
      await other.stop();
    }
  });
});

describe('a deployment that runs', () => {
  it('hears no cancel, no recovery and no resolution by hand', async () => {
    const promotion = await world.approved('hangs');
    const d = await world.start(promotion);
    await world.until('the build to hang', async () => {
      const row = await d.row();
      return row && (await world.log(row)).some((line) => line.text === 'hanging');
    });
    const key = `CP-${promotion}.1`;
    const { workflowId } = d.handle;
    await signal(workflowId, 'cancelDeployment', ...json({ by: 'rosa', reason: 'forged' }));
    await refused(key, 1, /A cancel .* no signature/);
    await signal(workflowId, 'cancelDeployment', ...json(world.cancelOf(workflowId, 'carla')));
    await refused(key, 2, /carla is contributor/);
    await signal(workflowId, 'cancelDeployment', '--input', '"x"', '--input-meta', 'encoding=binary/strange');
    await refused(key, 3, /no signature/);

    const row = await d.row();
    const recovery = { deployment: row.id, key, why: 'by hand' };
    await start('recoverDeployment', `recover/${key.replace('.', '/')}`, ...json(recovery));
    expect(await ended(`recover/${key.replace('.', '/')}`)).toMatch(/there is nothing to recover/);
    await start('recoverDeployment', 'recover/nothing', ...json({ deployment: 999_999, key: 'x', why: 'x' }));
    expect(await ended('recover/nothing')).toMatch(/no such attempt/);
    expect(await d.row()).toMatchObject({ status: 'running', owner: workflowId });

    // The Temporal UI's own cancel is Temporal's to authorise, and compensates.
    await temporal('workflow', 'cancel', '--workflow-id', workflowId);
    await d.handle.result();
    await world.checkEnded(await d.row());
  });

  it('whose rollback failed waits for an SRE who said so to the API', async () => {
    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no', 'Hopeless'));
    await world.deploy('v1');
    const d = await world.start(await world.approved('sick'));
    await world.until('the rollback to fail', async () => (await d.row())?.status === 'rollback-failed');
    delete world.faults.undoSwap;
    const { workflowId } = d.handle;
    const row = await d.row();
    const key = `CP-${row.promotion}.1`;
    await signal(workflowId, 'resolveRollback', ...json({ action: 'accept', by: 'sven', reason: 'forged' }));
    await refused(key, 1, /A resolution .* no signature/);
    const byRosa = world.keyring.sign('resolve', workflowId, {
      action: 'accept',
      by: 'rosa',
      reason: 'x',
      request: 'r',
    });
    await signal(workflowId, 'resolveRollback', ...json(byRosa));
    await refused(key, 2, /rosa is release-manager/);
    // A cancel's signature is no resolution's.
    await signal(workflowId, 'resolveRollback', ...json(world.cancelOf(workflowId, 'sven')));
    await refused(key, 3, /signature does not fit/);
    expect((await d.row()).status).toBe('rollback-failed');
    // A resolution counts once: the rollback that fails again needs a new one.
    world.faults.undoSwap = () => Promise.reject(ApplicationFailure.nonRetryable('no use', 'Hopeless'));
    const retry = { action: 'retry', reason: 'fixed, I think' };
    expect((await api.post('sre', `/api/deployments/${key}/resolve`, retry)).status).toBe(202);
    const failedAgain = await world.until('it to fail again', async () => {
      const now = await d.row();
      return now.status === 'rollback-failed' && now.version >= row.version + 2 && now;
    });
    expect(failedAgain.waiting_for).toContain('no use');
    const { events } = JSON.parse(
      (await temporal('workflow', 'show', '--workflow-id', workflowId, '-o', 'json')).stdout,
    ) as { events: any[] };
    const payload = events.filter(({ eventType }) => /WORKFLOW_EXECUTION_SIGNALED$/.test(eventType)).at(-1)
      .workflowExecutionSignaledEventAttributes.input.payloads[0];
    const said = Buffer.from(payload.data, 'base64').toString();
    await signal(workflowId, 'resolveRollback', '--input', said);
    await refused(key, 4, /a repeat changes nothing/);
    // Nor with its keys in another order, in which its signature fits as well.
    const entries = Object.entries(JSON.parse(said) as object).reverse();
    await signal(workflowId, 'resolveRollback', ...json(Object.fromEntries(entries)));
    await refused(key, 5, /a repeat changes nothing/);
    delete world.faults.undoSwap;
    expect(
      (await api.post('sre', `/api/deployments/${key}/resolve`, { ...retry, reason: 'now' })).status,
    ).toBe(202);
    await d.handle.result();
    await world.checkEnded(await d.row());
  });
});

it('an approver who lost the right while it was built: not swapped, rolled back', async () => {
  const promotion = await world.approved('v3');
  world.faults.swap = async (swap) => {
    await world.owner('people').where({ name: 'amir' }).update({ grants: [] });
    await world.owner('tokens').where({ person: 'amir' }).update({ revoked_at: new Date() });
    return swap();
  };
  const before = world.current();
  const d = await world.start(promotion);
  await d.handle.result();
  delete world.faults.swap;
  const row = await d.row();
  expect(row).toMatchObject({
    status: 'rolled-back',
    outcome: expect.stringContaining(`RFC-${promotion} lacks an approval`),
  });
  expect(world.current()).toBe(before);
  await world.checkEnded(row);
  const retried = await api.post('release-manager', `/api/promotions/CP-${promotion}/retry`);
  expect([retried.status, retried.body.code]).toEqual([422, 'approval-void']);
});
