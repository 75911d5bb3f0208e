import { statesOf, type MachineName } from '../../domain/machines';
import { testDatabase, type TestDatabase } from '../helpers/postgres';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

/** The live constraint of each stored machine, as the server says it. */
it.each([
  ['promotions_status', 'promotion'],
  ['change_requests_status', 'changeRequest'],
  ['deployments_status', 'deployment'],
  ['steps_status', 'step'],
  ['deliveries_status', 'delivery'],
  ['backlog_items_status', 'backlogItem'],
  ['words_status', 'word'],
] as [string, MachineName][])('CHECK %s holds exactly the states of %s', async (constraint, machine) => {
  const { rows } = await database.db.raw(
    'SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = ?',
    [constraint],
  );
  const states = [...rows[0].text.matchAll(/'([^']+)'/g)].map(([, state]: string[]) => state);
  expect(states.sort()).toEqual([...statesOf(machine)].sort());
});

it('every status column has such a CHECK', async () => {
  const { rows } = await database.db.raw(
    "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'status' AND data_type = 'text' AND table_name IN (SELECT tablename FROM pg_tables) ORDER BY 1",
  );
  expect(rows.map((row: { table_name: string }) => row.table_name)).toEqual([
    'backlog_items',
    'change_requests',
    'deliveries',
    'deployment_steps',
    'deployments',
    'promotions',
    'words',
  ]);
});
