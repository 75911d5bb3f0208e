import { randomUUID } from 'node:crypto';
import { parseTargets } from '../../domain/config';
import { admit } from '../../db/admission';
import { decide, submit } from '../../db/change-requests';
import { beginRollback, recordEnd, rollbackFailed, type DeploymentRow } from '../../db/deployments';
import { needsOf } from '../../db/needs';
import { ship } from '../../db/promotions';
import { registerTargets } from '../../db/targets';
import { createWindows } from '../../db/windows';
import { introducePeople } from '../helpers/people';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

/** What waits for somebody, of more than any page of a list shows. */
const names = ['shop', 'kiosk', 'depot'];
const targets = parseTargets(
  JSON.stringify({
    targets: Object.fromEntries(
      names.map((name) => [
        name,
        {
          repository: '/r',
          build: { argv: ['x'] },
          driver: { kind: 'directory', root: `/d/${name}` },
          backup: { kind: 'files', paths: ['/b'] },
          health: { kind: 'http', url: 'http://127.0.0.1:1/' },
        },
      ]),
    ),
  }),
  'test',
);
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
  await introducePeople(database.db);
  await registerTargets(database.db, names);
});
afterAll(() => database.drop());

const drafted = (target: string, title: string, type: 'normal' | 'emergency' = 'normal') =>
  ship(database.db, {
    target,
    title,
    revision: 'v1',
    commit: 'c'.repeat(40),
    shippedBy: 'carla',
    change: {
      type,
      risk: 'medium',
      description: '',
      ...(type === 'emergency' ? { emergencyReason: 'it is down' } : {}),
    },
  });
const submitted = async (...of: Parameters<typeof drafted>) => {
  const id = await drafted(...of);
  await submit(database.db, id, 1, { by: 'carla' });
  return id;
};
const approved = async (...of: Parameters<typeof drafted>) => {
  const id = await submitted(...of);
  const decision = { changeRequest: id, submission: 1, approver: 'amir', decision: 'approve' } as const;
  await decide(database.db, { id: randomUUID(), ...decision });
  return id;
};
async function started(...of: Parameters<typeof drafted>): Promise<DeploymentRow> {
  const promotion = await approved(...of);
  const { row } = await admit(
    database.db,
    {
      promotion,
      attempt: 1,
      trigger: 'deploy',
      startedBy: 'rosa',
      owner: `deploy/CP-${promotion}/1`,
      runId: 'r',
    },
    { windows: createWindows(database.db), targets: () => targets },
  );
  return row;
}
const found = async (person = 'rosa', most = 200) => {
  const { counts, needs } = await needsOf(database.db, person, most);
  return { counts, titles: needs.map(({ kind, title }) => `${kind}: ${title}`) };
};

it('is complete and in order of urgency, however much there is', async () => {
  const { db } = database;
  const sick = await started('shop', 'one whose rollback failed');
  await beginRollback(db, sick.id, sick.owner, 'unhealthy');
  await rollbackFailed(db, sick.id, sick.owner, 'the undo failed');
  const undone = await started('kiosk', 'one that was rolled back');
  await beginRollback(db, undone.id, undone.owner, 'unhealthy');
  await recordEnd(db, undone.id, undone.owner, 'rolled-back', 'unhealthy');
  await drafted('depot', 'a draft of carla');
  for (let n = 0; n < 210; n++) await submitted('depot', `one of many, ${n}`);
  await submitted('depot', 'an emergency', 'emergency');
  await approved('depot', 'one that is approved');

  expect(await found()).toEqual({
    counts: {
      'rollback-failed': 1,
      'rolled-back': 1,
      'review-overdue': 0,
      override: 0,
      decision: 211,
      deploy: 1,
      review: 0,
      draft: 0,
    },
    titles: [
      'rollback-failed: one whose rollback failed',
      'rolled-back: one that was rolled back',
      'decision: an emergency',
      ...Array.from({ length: 197 }, (_, n) => `decision: one of many, ${n}`),
    ],
  });
  // A draft waits for who made it, however they write their name.
  expect((await found('Carla')).counts.draft).toBe(1);
});

it('says nothing any more of what was rolled back where a newer release is well', async () => {
  const { db } = database;
  const newer = await started('kiosk', 'a newer one');
  expect((await found()).counts['rolled-back']).toBe(1);
  await recordEnd(db, newer.id, newer.owner, 'succeeded', 'deployed');
  expect((await found()).counts['rolled-back']).toBe(0);
});

it('counts nothing where nothing waits', async () => {
  const empty = await testDatabase();
  expect(await needsOf(empty.db, 'rosa', 10)).toMatchObject({ counts: { decision: 0 }, needs: [] });
  await empty.drop();
});
