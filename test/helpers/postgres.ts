import { randomBytes } from 'node:crypto';
import { connect, connectOwner, type Db } from '../../db/connect';
import { until } from './until';

/** A database of its own for one suite, cloned from the migrated template that the global set-up made. */
export interface TestDatabase {
  url: string;
  /** As Signalbox works. */
  db: Db;
  /** As the owner of the tables; closed by `drop`. */
  owner: Db;
  drop(): Promise<void>;
}

/** @param template what it is a copy of. */
export async function testDatabase(template = 'template_signalbox'): Promise<TestDatabase> {
  const server = new URL(process.env.TEST_POSTGRES!);
  const name = `test_${randomBytes(6).toString('hex')}`;
  const admin = connectOwner(server.href);
  await admin.raw(`CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = Object.assign(new URL(server), { pathname: `/${name}` }).href;
  const db = connect(url, 20);
  const owner = connectOwner(url);
  return {
    url,
    db,
    owner,
    async drop() {
      await db.destroy();
      await owner.destroy();
      // Fails when the suite left a connection open, which is a leak. The server notices a closed one a moment later,
      // and its own workers (autovacuum) are none of ours.
      const open = async () => {
        const { rows } = await admin.raw(
          "SELECT count(*)::int AS open FROM pg_stat_activity WHERE datname = ? AND backend_type = 'client backend'",
          [name],
        );
        return rows[0].open as number;
      };
      try {
        await until('the suite to close its database connections', async () => (await open()) === 0);
      } finally {
        await admin.raw(`DROP DATABASE ${name} WITH (FORCE)`);
        await admin.destroy();
      }
    },
  };
}
