import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { createSource } from '../activities/git';
import { findSandbox } from '../activities/find-sandbox';
import type { Targets } from '../domain/config';
import { badInput } from '../domain/errors';
import { connectTemporal } from '../temporal-config/connection';
import { createRemote } from '../worker/remote-journal';
import { startRunner } from '../worker/runner';
import { installRuntime, sdkMetricsAt } from '../worker/worker';
import { freePort } from './embedded/ports';
import { stopped } from './processes';
import { openLog, rereadOnHangup } from './serve';
import { secretFilesOf } from './secret-files';
import { readConfig, readTargets, required } from './settings';
import { createTargetChecks } from './target-checks';
import { startTracing } from './tracing';
import { version } from './version';
import { serveHealth } from './worker-health';

/**
 * `signalbox worker --runner <target>`, on the target's own host. It needs the way to Temporal and to the API, its token in
 * SIGNALBOX_TOKEN, and a targets file that says how its target is built, backed up and swapped here.
 */
export async function runRunner(options: {
  runner: string;
  state: string;
  config: string;
  graceSeconds: number;
  healthPort?: number;
}): Promise<number> {
  const { runner: target, config } = options;
  let all: Targets;
  const own = () => {
    all = readTargets(config);
    const found = all.get(target);
    if (!found) throw badInput(`The targets file ${config} has no target ${target}.`);
    if (!found.runner)
      throw badInput(
        `The target ${target} has no runner in ${config}; declare it with "runner: {}", here and where the workers are.`,
      );
    // Nothing else of the file is this host's business.
    return new Map([[target, { ...found, runner: undefined }]]);
  };
  let targets = own();
  const api = required('SIGNALBOX_API', "the API's address, such as https://signalbox.example.com/api");
  const token = required(
    'SIGNALBOX_TOKEN',
    `a token made with "signalbox token create --role runner:${target}"`,
  );
  if (!/^[\x21-\x7e]+$/.test(token))
    throw badInput('SIGNALBOX_TOKEN holds a space or a line break; it is the token alone, one word.');
  const stateDir = resolve(options.state);
  mkdirSync(stateDir, { recursive: true });
  const log = openLog();
  const sandbox = await findSandbox({
    stateDir,
    // Of the others what may lie here, too.
    targets: () => all,
    secretFiles: secretFilesOf({ stateDir, configFile: config, config: readConfig(config) }),
  });
  log[sandbox.kind === 'none' ? 'warn' : 'info']({ sandbox: sandbox.kind }, sandbox.said);
  const checks = createTargetChecks((line) => log.warn(line), sandbox);
  await checks.demand(targets);
  const say = (line: string) => log.info(line);
  const sdkPort = await freePort();
  installRuntime(log, sdkPort);
  const tracing = startTracing('signalbox-runner');
  const temporal = await connectTemporal();
  const source = createSource(join(stateDir, 'mirrors'));
  const worker = await startRunner({
    temporal,
    target,
    id: identityIn(stateDir),
    host: hostname(),
    version,
    remote: createRemote({ api: api.replace(/\/$/, ''), token, target }),
    deps: { targets: () => targets, source, stateDir, log, sandbox },
    graceMs: options.graceSeconds * 1000,
  });
  const health =
    options.healthPort === undefined
      ? undefined
      : await serveHealth({
          port: options.healthPort,
          worker,
          temporal,
          sdkMetrics: sdkMetricsAt(sdkPort),
        });
  if (health) say(`health and figures on port ${health.port}`);
  rereadOnHangup(
    { targets },
    () => ({ targets: own() }),
    async (next) => {
      await checks.demand(next);
      targets = next as typeof targets;
    },
    say,
  );
  say(`runner of ${target} is polling`);
  await Promise.race([stopped(), worker.broken]);
  say('runner is stopping: a running step may finish');
  checks.stop();
  await worker.stop();
  await source.close();
  health?.stop();
  await temporal.connection.close();
  await tracing?.stop();
  return 0;
}

/** Chosen once, and kept with the state: a runner that is started again goes on with what it had taken. */
function identityIn(stateDir: string): string {
  const file = join(stateDir, 'runner-id');
  if (!existsSync(file))
    writeFileSync(file, `${hostname().slice(0, 40)}-${randomBytes(4).toString('hex')}`, { mode: 0o600 });
  return readFileSync(file, 'utf8').trim();
}
