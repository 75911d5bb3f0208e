import { serveWorld, type Served } from '../helpers/api';
import { makeWorld, type World } from '../helpers/world';

/** Every refusal of governance: its status and code, that it says what would make it pass, and that this then passes. */
let world: World;
let api: Served;
type Person = Awaited<ReturnType<Served['somebody']>>;
let people: Record<'amir' | 'dora' | 'dick' | 'sam' | 'zoe' | 'rex', Person>;
beforeAll(async () => {
  world = await makeWorld({
    extra: `risk: { base: medium, paths: [] }
    approval:
      - risks: [critical]
        levels: [{ name: peers, groups: [dev] }, { name: board, groups: [security] }]
      - risks: [high]
        levels: [{ name: board, groups: [dev, security], quorum: 2, mandatory: [security] }]`,
    top: 'groups: { dev: [dora, dick], security: [sam] }',
  });
  api = await serveWorld(world);
  const of = async (person: string, role: string) => api.somebody(person, [role]);
  people = {
    amir: await of('amir', 'approver'),
    dora: await of('dora', 'approver'),
    dick: await of('dick', 'approver'),
    sam: await of('sam', 'approver'),
    zoe: await of('zoe', 'approver'),
    rex: await of('rex', 'release-manager'),
  };
});
afterAll(async () => {
  await api.stop();
  await world.stop();
});

interface Shipped {
  key: string;
  rfc: string;
}
async function ship(change: object = {}, more: object = {}): Promise<Shipped> {
  const { body } = await api.post('contributor', '/api/promotions', {
    target: 'shop',
    revision: 'v1',
    title: 'a change',
    submit: true,
    change: { risk: 'medium', riskReason: 'a test', ...change },
    ...more,
  });
  return { key: body.key, rfc: `/api/change-requests/${body.changeRequest}` };
}
const approve = (who: Person, { rfc }: Shipped, more: object = {}) =>
  who.post(`${rfc}/decisions`, { decision: 'approve', ...more });
const approved = async (change: object = {}) => {
  const shipped = await ship(change);
  expect((await approve(people.amir, shipped)).body.status).toBe('approved');
  return shipped;
};
const deploy = ({ key }: Shipped, body: object = {}) =>
  api.post('release-manager', `/api/promotions/${key}/deploy`, body);
const window = (more: object = {}) => ({
  name: `freeze ${Math.random()}`,
  kind: 'freeze',
  start: new Date(Date.now() - 3_600_000).toISOString().slice(0, 16),
  timeZone: 'UTC',
  durationMinutes: 600,
  ...more,
});
const addWindow = async () => (await api.post('release-manager', '/api/deployment-windows', window())).body;
const later = () => new Date(Date.now() + 3_600_000).toISOString();

type Answer = Promise<{ status: number; body: any }>;
/** What is refused, and how; what it says; and what then passes. */
const cases: [
  code: string,
  status: number,
  says: RegExp,
  refused: () => Promise<{ first: () => Answer; passes: () => Answer; after?: () => Promise<unknown> }>,
][] = [
  [
    'not-approved',
    422,
    /needs a decision/,
    async () => {
      const s = await ship();
      return { first: () => deploy(s), passes: async () => (await approve(people.amir, s), deploy(s)) };
    },
  ],
  [
    'window-closed',
    423,
    /Deploy when it opens, or override the window with a second person/,
    async () => {
      const { id } = await addWindow();
      const s = await approved();
      return {
        first: () => deploy(s),
        passes: () => deploy(s, { when: 'next-window' }),
        after: () => api.remove('release-manager', `/api/deployment-windows/${id}`),
      };
    },
  ],
  [
    'window-closed',
    423,
    /override the window/,
    async () => {
      const { id } = await addWindow();
      const s = await approved();
      return {
        first: () => deploy(s),
        passes: async () => {
          const asked = await api.post('release-manager', `/api/deployment-windows/${id}/overrides`, {
            promotion: s.key,
            reason: 'r',
            expiresAt: later(),
          });
          await people.rex.post(`/api/window-overrides/${asked.body.id}/second`);
          return deploy(s);
        },
        after: () => api.remove('release-manager', `/api/deployment-windows/${id}`),
      };
    },
  ],
  [
    'own-change',
    403,
    /asked for the override .* somebody else has to agree/,
    async () => {
      const { id } = await addWindow();
      const s = await approved();
      const asked = await api.post('release-manager', `/api/deployment-windows/${id}/overrides`, {
        promotion: s.key,
        reason: 'r',
        expiresAt: later(),
      });
      const second = `/api/window-overrides/${asked.body.id}/second`;
      return {
        first: () => api.post('release-manager', second),
        passes: () => people.rex.post(second),
        after: () => api.remove('release-manager', `/api/deployment-windows/${id}`),
      };
    },
  ],
  [
    'own-change',
    403,
    /somebody else has to decide/,
    async () => {
      const { body } = await api.post('both', '/api/promotions', {
        target: 'shop',
        revision: 'v1',
        title: 't',
        submit: true,
        change: { risk: 'medium', riskReason: 'r' },
      });
      const s = { key: body.key, rfc: `/api/change-requests/${body.changeRequest}` };
      return {
        first: () => api.post('both', `${s.rfc}/decisions`, { decision: 'approve' }),
        passes: () => approve(people.amir, s),
      };
    },
  ],
  [
    'not-eligible',
    403,
    /needs one of dev/,
    async () => {
      const s = await ship({ risk: 'critical' });
      return { first: () => approve(people.zoe, s), passes: () => approve(people.dora, s) };
    },
  ],
  [
    'not-your-turn',
    422,
    /Level "peers" needs one of dev first; sam comes after that/,
    async () => {
      const s = await ship({ risk: 'critical' });
      return {
        first: () => approve(people.sam, s),
        passes: async () => (await approve(people.dora, s), approve(people.sam, s)),
      };
    },
  ],
  [
    'seat-taken',
    422,
    /are filled\. Level "board" needs one of security/,
    async () => {
      const s = await ship({ risk: 'high' });
      await approve(people.dora, s);
      return { first: () => approve(people.dick, s), passes: () => approve(people.sam, s) };
    },
  ],
  [
    'already-approved',
    409,
    /one person fills one seat\. Somebody else/,
    async () => {
      const s = await ship({ risk: 'high' });
      await approve(people.sam, s);
      return { first: () => approve(people.sam, s), passes: () => approve(people.dora, s) };
    },
  ],
  [
    'stale-version',
    412,
    /look again and decide on what it says now/,
    async () => {
      const s = await ship();
      const { digest } = (await api.get(s.rfc)).body;
      await api.patch('contributor', s.rfc, { title: 'other' });
      return {
        first: () => approve(people.amir, s, { digest }),
        passes: async () => approve(people.amir, s, { digest: (await api.get(s.rfc)).body.digest }),
      };
    },
  ],
  [
    'approval-void',
    422,
    /Let somebody else approve it/,
    async () => {
      const s = await approved();
      // The right to approve went with the token that carried it; amir has no other.
      await world.owner.raw("UPDATE decisions SET approver = 'zoe2' WHERE change_request = ?", [
        Number(s.key.slice(3)),
      ]);
      return {
        first: () => deploy(s),
        passes: async () => {
          await api.patch('contributor', s.rfc, { title: 'asked again' });
          await approve(people.amir, s);
          return deploy(s);
        },
      };
    },
  ],
  [
    'illegal-transition',
    409,
    /is rejected and can not be changed; revise it first/,
    async () => {
      const s = await ship();
      await people.amir.post(`${s.rfc}/decisions`, { decision: 'reject', comment: 'no' });
      return {
        first: () => api.patch('contributor', s.rfc, { title: 'x' }),
        passes: async () => (
          await api.post('contributor', `${s.rfc}/revise`),
          api.patch('contributor', s.rfc, { title: 'x' })
        ),
      };
    },
  ],
  [
    'illegal-transition',
    409,
    /has a deployment that is waiting-for-window; cancel it first/,
    async () => {
      const { id } = await addWindow();
      const s = await approved();
      const { body } = await deploy(s, { when: 'next-window' });
      return {
        first: () => api.patch('contributor', s.rfc, { title: 'x' }),
        passes: async () => (
          await api.post('sre', `/api/deployments/${body.key}/cancel`),
          api.patch('contributor', s.rfc, { title: 'x' })
        ),
        after: () => api.remove('release-manager', `/api/deployment-windows/${id}`),
      };
    },
  ],
  [
    'nothing-to-withdraw',
    409,
    /no approval on .* that counts/,
    async () => {
      const s = await ship();
      const path = `${s.rfc}/withdraw-decision`;
      return {
        first: () => people.amir.post(path),
        passes: async () => (await approve(people.amir, s), people.amir.post(path)),
      };
    },
  ],
  [
    'schedule-conflict',
    409,
    /accept the overlap with a reason in conflictsAccepted/,
    async () => {
      const planned = { start: '2032-01-01T10:00:00Z', minutes: 60 };
      await ship({ planned });
      const s = await ship({ planned }, { submit: false });
      const submit = () => api.post('contributor', `${s.rfc}/submit`);
      return {
        first: submit,
        passes: async () => (
          await api.patch('contributor', s.rfc, { conflictsAccepted: 'both small' }),
          submit()
        ),
      };
    },
  ],
  [
    'name-taken',
    409,
    /give this one another name/,
    async () => {
      const taken = await addWindow();
      await api.remove('release-manager', `/api/deployment-windows/${taken.id}`);
      const made = (
        await api.post(
          'release-manager',
          '/api/deployment-windows',
          window({ name: 'one', start: '2033-01-01T00:00' }),
        )
      ).body;
      const again = (name: string) =>
        api.post('release-manager', '/api/deployment-windows', window({ name, start: '2033-01-01T00:00' }));
      return {
        first: () => again('one'),
        passes: () => again('two'),
        after: async () => {
          for (const { id } of (await api.get('/api/deployment-windows')).body.items)
            await api.remove('release-manager', `/api/deployment-windows/${id}`);
          return made;
        },
      };
    },
  ],
  [
    'invalid-input',
    400,
    /make this a medium risk; to lower it to low, say why in riskReason/,
    async () => {
      const body = (change: object) => ({
        target: 'shop',
        revision: 'v1',
        title: 't',
        change: { risk: 'low', ...change },
      });
      return {
        first: () => api.post('contributor', '/api/promotions', body({})),
        passes: () => api.post('contributor', '/api/promotions', body({ riskReason: 'r' })),
      };
    },
  ],
  [
    'invalid-input',
    400,
    /emergencyReason/,
    async () => {
      const s = await ship();
      return {
        first: () => api.patch('contributor', s.rfc, { type: 'emergency' }),
        passes: () => api.patch('contributor', s.rfc, { type: 'emergency', emergencyReason: 'it burns' }),
      };
    },
  ],
  [
    'promotions-disabled',
    422,
    /switched off: over the holidays/,
    async () => {
      const targets = world.targets;
      const s = await approved();
      world.targets = new Map([
        [
          'shop',
          {
            ...targets.get('shop')!,
            promotionsEnabled: false,
            promotionsDisabledReason: 'over the holidays',
          },
        ],
      ]);
      return { first: () => deploy(s), passes: () => ((world.targets = targets), deploy(s)) };
    },
  ],
  [
    'role-required',
    403,
    /needs release-manager/,
    async () => {
      const s = await approved();
      return { first: () => api.post('sre', `/api/promotions/${s.key}/deploy`), passes: () => deploy(s) };
    },
  ],
];

it.each(cases)('%s (%i) says %p, and that passes', async (code, status, says, make) => {
  const { first, passes, after } = await make();
  const refused = await first();
  expect([refused.status, refused.body.code, refused.body.detail]).toEqual([
    status,
    code,
    expect.stringMatching(says),
  ]);
  const passed = await passes();
  expect([passed.body.detail, passed.status < 300]).toEqual([undefined, true]);
  await after?.();
});
