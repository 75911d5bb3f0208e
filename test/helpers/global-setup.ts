import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectOwner, migrate } from '../../db/connect';
import { rememberedPorts } from '../../cli/embedded/ports';
import { startPostgres } from '../../cli/embedded/postgres-server';
import { createProcesses } from '../../cli/embedded/processes';
import { findTemporal } from '../../cli/embedded/temporal-server';

/** One real PostgreSQL for the whole run, with a migrated template; and the Temporal program, fetched once. */
export default async function setUp(): Promise<void> {
  const state = mkdtempSync(join(tmpdir(), 'signalbox-jest-'));
  const processes = createProcesses(state, console.error);
  const port = await rememberedPorts(state).take('postgres');
  const { databaseOwnerUrl: url } = await startPostgres(state, port, processes);
  const admin = connectOwner(url);
  await admin.raw('CREATE DATABASE template_signalbox');
  await admin.destroy();
  const template = connectOwner(Object.assign(new URL(url), { pathname: '/template_signalbox' }).href);
  await migrate(template);
  await template.destroy();
  process.env.TEST_POSTGRES = url;
  process.env.TEST_TEMPORAL = await findTemporal();
  Object.assign(globalThis, { signalboxTest: { state, processes } });
}
