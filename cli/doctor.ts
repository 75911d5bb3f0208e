import { resolve } from 'node:path';
import { connectReadOnly, type Db } from '../db/connect';
import { ofRunners, ofWorkers } from '../db/sandboxes';
import { findSandbox } from '../activities/find-sandbox';
import { targetsRead } from '../db/targets';
import type { Targets } from '../domain/config';
import { badInput, messageOf, SignalboxError } from '../domain/errors';
import type { SandboxKind } from '../domain/sandbox';
import { connectTemporal, isConfigured } from '../temporal-config/connection';
import { examine, type Difference } from '../worker/doctor';
import { readHeads } from './access';
import { configHere, targetsHere } from './backups';
import { exitCodes } from './exit-codes';
import { secretFilesOf } from './secret-files';
import { readConfig } from './settings';
import { headsFileIn, readEndpoints, restoresSignedBy } from './state-dir';

/**
 * `signalbox doctor`: prints what does not fit between record, Temporal and targets, and what to do about each. Run on the
 * host of a worker, where targets and backups lie. It only reads.
 * @returns 0: everything fits; 1: something does not; 6: database or Temporal do not answer.
 * @throws when the targets file is not the one by which Signalbox runs.
 */
export async function doctor(options: { state: string; json: boolean; config?: string }): Promise<number> {
  const stateDir = resolve(options.state);
  const endpoints = readEndpoints(stateDir);
  const url = process.env.DATABASE_URL ?? endpoints?.databaseUrl;
  if (!url || !(isConfigured() || endpoints))
    throw new Error(
      'Nothing says where Signalbox is; set DATABASE_URL and TEMPORAL_ADDRESS, or name the folder of a running "signalbox up" with --state.',
    );
  const targets = targetsHere(options);
  const file = configHere(options);
  const exported = file && readConfig(file).audit.exportFile;
  const headsFile = exported ?? headsFileIn(stateDir);
  const db = connectReadOnly(url);
  try {
    await db.raw('SELECT 1');
    demandAll(await targetsRead(db), targets, file);
    const temporal = await connectTemporal(
      isConfigured()
        ? {}
        : { address: endpoints!.temporalAddress, namespace: process.env.TEMPORAL_NAMESPACE },
    );
    try {
      const sandbox = await findSandbox({
        stateDir,
        targets: () => targets,
        secretFiles: secretFilesOf({
          stateDir,
          configFile: file,
          config: file === undefined ? undefined : readConfig(file),
        }),
      });
      const { differences, elsewhere } = await examine({
        db,
        temporal: temporal.client,
        targets,
        sandbox,
        places: { stateDir, headsFile },
        heads: readHeads(headsFile),
        whyForged: restoresSignedBy(stateDir),
      });
      const sandboxes = await hostsOf(db, targets);
      if (options.json) console.log(JSON.stringify({ differences, elsewhere, sandboxes }));
      else print(differences, elsewhere, sandboxes);
      return differences.length > 0 ? exitCodes.refused : exitCodes.done;
    } finally {
      await temporal.connection.close();
    }
  } catch (thrown) {
    if (thrown instanceof SignalboxError) throw thrown;
    console.error(`Nothing could be compared: ${messageOf(thrown)}`);
    return exitCodes.unreachable;
  } finally {
    await db.destroy();
  }
}

/** What is not looked at would pass for what fits. */
function demandAll(known: string[], targets: Targets, file: string | undefined): void {
  const missing = known.filter((name) => !targets.has(name));
  if (missing.length > 0)
    throw badInput(
      `Signalbox runs with ${missing.length === 1 ? 'a target' : 'targets'} that ${file ? `the targets file ${file} does not name` : 'no targets file here names'}: ${missing.join(', ')}. Name the right file with --config.`,
    );
}

interface Host {
  host: string;
  /** The target whose steps are done there; left out: those of all that have no runners. */
  runner?: string;
  kind: SandboxKind;
  said: string;
}
/** What each host keeps builds in, as its workers and runners say it. */
async function hostsOf(db: Db, targets: Targets): Promise<Host[]> {
  const workers = (await ofWorkers(db)).map(({ host, sandbox }) => ({ host, ...sandbox }));
  const runners = [...targets.values()]
    .filter(({ runner }) => runner)
    .map(async ({ name }) =>
      (await ofRunners(db, name)).map(({ host, sandbox }) => ({ host, runner: name, ...sandbox })),
    );
  return [...workers, ...(await Promise.all(runners)).flat()];
}

function print(differences: Difference[], elsewhere: string[], hosts: Host[]): void {
  for (const { kind, what, todo } of differences) console.log(`${kind}: ${what}\n  What to do: ${todo}\n`);
  for (const line of elsewhere) console.log(`Not compared: ${line}`);
  for (const { host, runner, said } of hosts)
    console.log(`${runner ? `Runner of ${runner} on` : 'Worker on'} ${host}: ${said}`);
  console.log(
    differences.length === 0
      ? 'Record, Temporal and targets fit together.'
      : `${differences.length} ${differences.length === 1 ? 'thing does' : 'things do'} not fit; nothing was changed.`,
  );
}
