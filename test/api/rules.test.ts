import { raiseBlocker } from '../../db/backlog/blockers';
import { resolveBlockers } from '../../db/backlog/items';
import { rebindAll } from '../../db/change-content';
import type { DeploymentRow } from '../../db/deployments';
import { setDisabled } from '../../db/people';
import { addWindow, removeWindow } from '../../db/windows';
import type { TargetConfig } from '../../domain/config';
import { openAttempt } from '../../domain/machines';
import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/**
 * Every rule at every place where it is asked, on real parts: what breaks it happens just before that place. The table is
 * written from what each rule means, not from the code.
 */
let world: World;
let api: Served;
beforeAll(async () => {
  world = await makeWorld({ targets: ['shop'] });
  api = await serveWorld(world);
  await world.deploy('v1');
  await world.deploy('v2');
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});
const letGo: (() => void)[] = [];
const repairs: (() => unknown)[] = [];
/** Whatever a test leaves when it fails, none of it stays in the way of the next. */
afterEach(async () => {
  for (const name of Object.keys(world.faults)) delete world.faults[name as keyof typeof world.faults];
  for (const go of letGo.splice(0)) go();
  const failed: unknown[] = [];
  for (const repair of repairs.splice(0).reverse())
    await Promise.resolve(repair()).catch((thrown: unknown) => failed.push(thrown));
  const open = await world.db('deployments').whereIn('status', [...openAttempt]);
  for (const { owner } of open) await cancel(owner as string);
  await world.until('nothing to be left', async () => {
    const left = await world
      .db('deployments')
      .whereIn('status', [...openAttempt])
      .first();
    return left === undefined;
  });
  expect(failed).toEqual([]);
});
const cancel = (owner: string) =>
  world.client.workflow.getHandle(owner).signal('cancelDeployment', world.cancelOf(owner, 'sven'));

const move = { by: 'signalbox', why: 'a rule is broken by a test' };
const set = (more: Partial<TargetConfig>) => {
  const before = world.targets;
  world.targets = new Map([...before].map(([name, config]) => [name, { ...config, ...more }]));
  return () => void (world.targets = before);
};
const disable = (person: string) => async () => {
  await world.db.transaction((tx) => setDisabled(tx, person, true, move));
  return () => world.db.transaction((tx) => setDisabled(tx, person, false, move));
};
let serial = 0;

/** @returns what repairs it. */
type Break = (promotion: number) => Promise<() => unknown>;
const rules: Record<string, Break> = {
  'its starter was disabled': disable('rosa'),
  'the target was switched off': () =>
    Promise.resolve(set({ promotionsEnabled: false, promotionsDisabledReason: 'EMERGENCY STOP' })),
  'its approver was disabled': disable('amir'),
  'how the target acts was changed': () => {
    const { migrate } = world.targets.get('shop')!;
    const back = set({ migrate: { ...migrate!, argv: [...migrate!.argv, '--other'] } });
    return Promise.resolve(async () => {
      back();
      await rebindAll(world.db, world.targets);
    });
  },
  'an item that it carries was blocked': async (promotion) => {
    const { backlog_items: items } = await world.db('change_requests').where({ id: promotion }).first();
    const item = Number(items[0].slice(5));
    const id = await world.db.transaction((tx) => raiseBlocker(tx, item, null, 'the vendor', move));
    return () => world.db.transaction((tx) => resolveBlockers(tx, { id }, 'delivered', move));
  },
  'another change is planned for now': async () => {
    const other = await world.shipped('v3');
    const at = new Date(Date.now() - 60_000);
    await world
      .db('change_requests')
      .where({ id: other })
      .update({ status: 'submitted', planned_start: at, planned_minutes: 60 });
    return () =>
      world.db('change_requests').where({ id: other }).update({ planned_start: null, planned_minutes: null });
  },
  'its window was closed': async () => {
    const id = await world.db.transaction((tx) =>
      addWindow(
        tx,
        {
          name: `freeze ${++serial}`,
          kind: 'freeze',
          scope: { target: 'shop' },
          start: new Date(Date.now() - 86_400_000).toISOString().slice(0, 16),
          timeZone: 'UTC',
          durationMinutes: 3 * 24 * 60,
        },
        move,
      ),
    );
    return () => world.db.transaction((tx) => removeWindow(tx, id!, move, undefined));
  },
};
type Rule = keyof typeof rules;

const nothing = 'Nothing was touched.';
const putBack = /migration had begun.*data/i;
type End = { refused: RegExp } | { undone: RegExp; says: RegExp | string } | 'asleep' | 'held' | 'goes on';
/** What comes of each. At the click nothing is written; migrate comes before swap, so what is found there undid nothing. */
const table: Record<Rule, { click: RegExp; admission: End; lane: End; migrate: End; swap: End }> = {
  'its starter was disabled': {
    // Whoever is disabled is not even let in.
    click: /401/,
    admission: { refused: /^role-required: rosa/ },
    lane: { refused: /^role-required: rosa/ },
    migrate: { undone: /rosa/, says: nothing },
    swap: { undone: /rosa/, says: putBack },
  },
  'the target was switched off': {
    click: /promotions-disabled: .*EMERGENCY STOP/,
    admission: { refused: /^promotions-disabled: .*EMERGENCY STOP/ },
    lane: { refused: /^promotions-disabled: .*EMERGENCY STOP/ },
    migrate: { undone: /EMERGENCY STOP/, says: nothing },
    swap: { undone: /EMERGENCY STOP/, says: putBack },
  },
  'its approver was disabled': {
    click: /not-approved/,
    admission: { refused: /^not-approved/ },
    lane: { refused: /^not-approved/ },
    migrate: { undone: /approv/, says: nothing },
    swap: { undone: /approv/, says: putBack },
  },
  'how the target acts was changed': {
    click: /approval-void: .*changed in the targets file/,
    admission: { refused: /^approval-void: .*changed in the targets file/ },
    lane: { refused: /^approval-void: .*changed in the targets file/ },
    migrate: { undone: /changed in the targets file/, says: nothing },
    swap: { undone: /changed in the targets file/, says: putBack },
  },
  'an item that it carries was blocked': {
    click: /blocked: ITEM-\d+ is blocked by "the vendor"/,
    admission: { refused: /^blocked: ITEM-\d+ is blocked by "the vendor"/ },
    lane: { refused: /^blocked: ITEM-\d+ is blocked by "the vendor"/ },
    migrate: { undone: /the vendor/, says: nothing },
    swap: { undone: /the vendor/, says: putBack },
  },
  // It holds the lane by then: what is planned waits for it.
  'another change is planned for now': {
    click: /schedule-conflict/,
    admission: { refused: /^schedule-conflict/ },
    lane: { refused: /^schedule-conflict/ },
    migrate: 'goes on',
    swap: 'goes on',
  },
  'its window was closed': {
    click: /window-closed/,
    admission: { refused: /^window-closed/ },
    lane: 'asleep',
    migrate: 'held',
    // The migration has begun: the release from before would run on data that is not its own.
    swap: 'goes on',
  },
};

/** Ships with an item and has it approved, as people do. */
async function approved(): Promise<{ key: string; id: number }> {
  const item = await api.post('contributor', '/api/backlog-items', { title: `item ${++serial}` });
  const { body } = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v2',
    title: 'a change',
    submit: true,
    backlogItems: [item.body.key],
    change: { type: 'normal' },
  });
  const decided = await api.post('approver', `/api/change-requests/${body.changeRequest}/decisions`, {
    decision: 'approve',
  });
  expect(decided.body.status).toBe('approved');
  return { key: body.key as string, id: Number(body.key.slice(3)) };
}

const ended = (row: () => Promise<DeploymentRow>) =>
  world.until('the end', async () => {
    const now = await row();
    return now?.finished_at ? now : undefined;
  });

/** Something that holds the lane until it is let go. */
async function laneHeld(): Promise<() => Promise<unknown>> {
  const go = world.holdNextBackup();
  letGo.push(go);
  const holder = await world.start(await world.approved('v1'));
  await world.until('the lane to be held', async () => (await holder.row())?.status === 'running');
  return async () => {
    await cancel(holder.handle.workflowId);
    go();
    return holder.handle.result();
  };
}

/** Before or after one activity, once. */
function around(
  name: 'admit' | 'backup' | 'migrate',
  when: 'before' | 'after',
  what: () => Promise<unknown>,
) {
  let first = true;
  world.faults[name] = async (run) => {
    if (!first) return run();
    first = false;
    if (when === 'before') await what();
    const result = await run();
    if (when === 'after') await what();
    return result;
  };
}

describe.each(Object.keys(table))('%s', (rule) => {
  const expected = table[rule]!;
  let promotion: { key: string; id: number };
  let before: { orders: string; current: string | null };
  const broken = async () => void repairs.push(await rules[rule]!(promotion.id));
  beforeEach(async () => {
    promotion = await approved();
    before = { orders: world.orders(), current: world.current() };
  });

  it('before the click', async () => {
    await broken();
    const { status, body } = await api.post('release-manager', `/api/promotions/${promotion.key}/deploy`);
    expect(`${status} ${body.code}: ${body.detail}`).toMatch(expected.click);
    expect(await world.db('deployments').where({ promotion: promotion.id })).toEqual([]);
  });

  it.each(['admission', 'lane', 'migrate', 'swap'] as const)('before %s', async (place) => {
    let release: (() => Promise<unknown>) | undefined;
    if (place === 'lane') release = await laneHeld();
    if (place === 'admission') around('admit', 'before', broken);
    if (place === 'migrate') around('backup', 'after', broken);
    if (place === 'swap') around('migrate', 'after', broken);
    const started = await world.start(promotion.id);
    if (release) {
      await world.until('it to wait', async () => (await started.row())?.status === 'queued');
      await broken();
      await release();
      before = { orders: world.orders(), current: world.current() };
    }
    const end = expected[place];
    if (end === 'asleep' || end === 'held') {
      const waits = await world.until('it to wait for its window', async () => {
        const row = await started.row();
        return row?.waiting_for?.includes('its window') && row;
      });
      expect(waits.status).toBe(end === 'asleep' ? 'waiting-for-window' : 'running');
      expect(world.current()).toBe(before.current);
      await repairs.pop()!();
      await started.handle.signal('windowChanged');
    }
    const row = await ended(started.row);
    if (typeof end === 'string') expect(row.status).toBe('succeeded');
    else if ('refused' in end) {
      expect(row.status).toBe('refused');
      expect(`${row.outcome_code}: ${row.outcome}`).toMatch(end.refused);
    } else {
      expect(row.status).toBe('rolled-back');
      expect(row.outcome).toMatch(end.undone);
      expect(row.outcome).toMatch(end.says);
      if (end.says !== nothing) expect(row.outcome).not.toContain(nothing);
    }
    if (row.status !== 'succeeded') {
      expect(world.orders()).toBe(before.orders);
      expect(world.current()).toBe(before.current);
    }
    await started.handle.result();
    await world.checkEnded(row);
  });
});

describe('a rollback by hand', () => {
  const breakAllBut = async (names: string[]) => {
    const { id } = await approved();
    for (const name of Object.keys(rules)) if (!names.includes(name)) repairs.push(await rules[name]!(id));
  };

  it.each(['click', 'admission', 'lane', 'swap'] as const)(
    'is stopped by nothing but what its starter may do, before %s',
    async (place) => {
      await world.deploy('v1');
      const { promotion } = await world.deploy('v2');
      const breaks = () => breakAllBut(['its starter was disabled']);
      if (place === 'click') await breaks();
      if (place === 'admission') around('admit', 'before', breaks);
      if (place === 'swap') around('backup', 'after', breaks);
      const release = place === 'lane' ? await laneHeld() : undefined;
      const { status, body } = await api.post('release-manager', `/api/promotions/CP-${promotion}/rollback`, {
        reason: 'it is bad',
      });
      expect([status, body.detail]).toEqual([202, undefined]);
      const row = () => world.db('deployments').where({ promotion, attempt: 2 }).first();
      if (release) {
        await breaks();
        await release();
      }
      expect(await ended(row)).toMatchObject({ status: 'succeeded' });
      expect(world.version()).toBe('v1');
    },
  );

  it.each(['admission', 'lane', 'swap'] as const)(
    'does not go on once its starter is disabled, before %s',
    async (place) => {
      await world.deploy('v1');
      const { promotion } = await world.deploy('v2');
      const disabled = async () => void repairs.push(await rules['its starter was disabled']!(0));
      if (place === 'admission') around('admit', 'before', disabled);
      if (place === 'swap') around('backup', 'after', disabled);
      const release = place === 'lane' ? await laneHeld() : undefined;
      const started = await world.start(promotion, 'rollback');
      if (release) {
        await world.until('it to wait', async () => (await started.row())?.status === 'queued');
        await disabled();
        await release();
      }
      const row = await ended(started.row);
      expect(row.status).toBe(place === 'swap' ? 'rolled-back' : 'refused');
      expect(row.outcome).toMatch(/rosa/);
      expect(world.version()).toBe('v2');
      await started.handle.result();
    },
  );
});

describe('a rule that cannot be asked is a fault: neither passed nor a verdict', () => {
  it.each(['admission', 'lane', 'migrate', 'swap'] as const)('at %s', async (place) => {
    const { id } = await approved();
    const current = world.current();
    // As when the table of windows cannot be read.
    const gone = () => world.owner.raw('ALTER TABLE window_revision RENAME TO window_revision_away');
    const back = () =>
      world.owner.raw('ALTER TABLE IF EXISTS window_revision_away RENAME TO window_revision');
    repairs.push(back);
    const release = place === 'lane' ? await laneHeld() : undefined;
    if (place === 'admission') around('admit', 'before', gone);
    if (place === 'migrate') around('backup', 'after', gone);
    if (place === 'swap') around('migrate', 'after', gone);
    const started = await world.start(id);
    if (release) {
      await world.until('it to wait', async () => (await started.row())?.status === 'queued');
      await gone();
      await release();
    }
    let tries = 0;
    const counted = { admission: 'admit', lane: 'acquireLane', migrate: 'migrate', swap: 'swap' } as const;
    const earlier = world.faults[counted[place]];
    world.faults[counted[place]] = (run, name) => {
      tries += 1;
      return earlier ? earlier(run, name) : run();
    };
    await world.until('it to be asked again', () => tries >= 2);
    expect((await started.row())?.finished_at ?? null).toBeNull();
    if (place !== 'lane') expect(world.current()).toBe(current);
    await back();
    expect(await ended(started.row)).toMatchObject({ status: 'succeeded' });
    await started.handle.result();
  });
});
