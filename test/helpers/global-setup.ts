import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { connectOwner, migrate } from '../../db/connect';
import { rememberedPorts } from '../../cli/embedded/ports';
import { startPostgres } from '../../cli/embedded/postgres-server';
import { createProcesses } from '../../cli/embedded/processes';
import { findTemporal } from '../../cli/embedded/temporal-server';
import { takePart } from './guardian.cjs';

/** What all tests share: a real PostgreSQL with a migrated template, the Temporal program, and the workflows, bundled. */
export default async function setUp(): Promise<void> {
  const state = takePart('jest');
  const processes = createProcesses(state, console.error);
  const port = await rememberedPorts(state).take('postgres');
  const { databaseOwnerUrl: url } = await startPostgres(state, port, processes);
  const admin = connectOwner(url);
  await admin.raw('CREATE DATABASE template_signalbox');
  // No test takes the power away, and each makes databases of its own.
  await admin.raw('ALTER SYSTEM SET fsync = off');
  await admin.raw('SELECT pg_reload_conf()');
  await admin.destroy();
  const template = connectOwner(Object.assign(new URL(url), { pathname: '/template_signalbox' }).href);
  await migrate(template);
  await template.destroy();
  process.env.TEST_POSTGRES = url;
  // A run that a test starts takes those of its own run.
  if (!process.env.TEST_WORKFLOWS) {
    const { code } = await bundleWorkflowCode({
      workflowsPath: require.resolve('../../workflows/index.ts'),
      payloadConverterPath: require.resolve('../../workflows/payload-converter.ts'),
      logger: new DefaultLogger('ERROR'),
    });
    process.env.TEST_WORKFLOWS = join(state, 'workflows.js');
    writeFileSync(process.env.TEST_WORKFLOWS, code);
  }
  process.env.TEST_TEMPORAL = await findTemporal();
  Object.assign(globalThis, { signalboxTest: { state, processes } });
}
