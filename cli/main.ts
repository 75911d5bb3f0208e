import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { messageOf } from '../domain/errors';
import { roles } from '../domain/machines';
import * as run from './commands';
import { ApiProblem, Unreachable } from './client';
import { exitCodes } from './exit-codes';

/** The `signalbox` command: `up`, `api`, `worker`, and the client commands. */
const number = (text: string) => {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('It has to be a number from 0 to 65535.');
  return port;
};
const program = new Command('signalbox')
  .description(
    'Release operations on durable execution: ship, approve, Deploy Now; rollback happens by itself.',
  )
  .version('0.1.0')
  .exitOverride()
  .showHelpAfterError('(run it with --help to see what it takes)');
// Loaded when needed: the client commands start in a fraction of the servers' time.
const servers = () => import('./processes.js');
const stateOption = () => new Option('--state <dir>', 'the state directory').default('.signalbox');

program
  .command('up')
  .description('run everything on this machine: Temporal, PostgreSQL, worker, API, page and a sample')
  .addOption(stateOption())
  .option('--port <n>', 'port of API and page; 0: any free one (default: 4600)', number)
  .option('--no-sample', 'make no sample deployment')
  .option('--config <file>', 'targets file (default: signalbox.config.yaml, if there is one)')
  .action(async (options) =>
    exit(await (await import('./up.js')).up({ ...options, state: resolve(options.state) })),
  );
program
  .command('api')
  .description('run the API and the page alone; DATABASE_URL and TEMPORAL_ADDRESS say where the rest is')
  .addOption(stateOption())
  .option('--port <n>', 'port of API and page; 0: any free one', number, 4600)
  .requiredOption('--config <file>', 'targets file')
  .action(async (options) => exit(await (await servers()).runApi(options)));
program
  .command('worker')
  .description('run a worker alone; DATABASE_URL and TEMPORAL_ADDRESS say where the rest is')
  .addOption(stateOption())
  .requiredOption('--config <file>', 'targets file')
  .option('--grace-seconds <n>', 'how long running steps may go on when it is stopped', number, 30)
  .action(async (options) => exit(await (await servers()).runWorker(options)));
program
  .command('token')
  .description('make an API token in the database at DATABASE_URL; it is shown once')
  .requiredOption('--person <name>', 'whose it is')
  .addOption(new Option('--role <role...>', 'roles it has').choices(roles).makeOptionMandatory())
  .action(async (options) => exit(await (await servers()).createToken(options)));

const client = (name: string, description: string) =>
  program
    .command(name)
    .description(description)
    .addOption(stateOption())
    .option('--json', 'print the answer as JSON', false);
type Handler = Parameters<typeof run.runClientCommand>[1];
const action = (handler: (...args: never[]) => ReturnType<Handler>) =>
  async function (this: Command, ...args: unknown[]) {
    const options = this.opts<run.Shared>();
    exit(await run.runClientCommand(options, (context) => handler(...([context, ...args] as never[]))));
  };
client('ship', 'record a promotion of a revision to a target, and submit it for approval')
  .argument('<target>')
  .argument('<revision>', 'tag, branch or commit')
  .option('--title <text>', 'what it brings (default: target and revision)')
  .option('--description <text>')
  .option('--emergency <reason>', 'an emergency change, and why')
  .option('--draft', 'do not submit it yet', false)
  .action(action(run.ship));
client('submit', 'submit a draft for approval').argument('<key>', 'CP-7 or RFC-7').action(action(run.submit));
client('approve', 'approve a change')
  .argument('<key>', 'CP-7 or RFC-7')
  .option('--comment <text>')
  .action(action(run.approve));
client('reject', 'reject a change')
  .argument('<key>', 'CP-7 or RFC-7')
  .requiredOption('--comment <text>', 'why')
  .action(action(run.reject));
const acting = (name: string, description: string) =>
  client(name, description)
    .argument('<promotion>', 'CP-7')
    .option('--reason <text>')
    .option('--wait', 'follow it to its end; the exit code says how it ended', false);
acting('deploy', 'Deploy Now').action(action(run.deploy));
acting('retry', 'deploy a promotion that rolled back once more').action(action(run.retry));
acting('rollback', 'return the target to the release before').action(action(run.rollback));
client('watch', 'follow a deployment: steps and log')
  .argument('<key>', 'CP-7 (its latest attempt) or CP-7.1')
  .action(action(run.follow));
client('cancel', 'cancel a deployment; a running one is rolled back')
  .argument('<key>', 'CP-7 (its latest attempt) or CP-7.1')
  .option('--reason <text>')
  .action(action(run.cancel));
client('resolve', 'after a failed rollback: undo again, or accept the target as it is')
  .argument('<key>', 'CP-7 (its latest attempt) or CP-7.1')
  .option('--retry', 'undo again')
  .option('--accept', 'leave the target as it is')
  .requiredOption('--reason <text>', 'why')
  .action(action(run.resolveRollback));
client('withdraw', 'withdraw a promotion and cancel its change request')
  .argument('<promotion>', 'CP-7')
  .option('--reason <text>')
  .action(action(run.withdraw));
client('status', 'targets and recent promotions, or one of them')
  .argument('[key]', 'CP-7, CP-7.1 or RFC-7')
  .action(action(run.status));

function exit(code: number): void {
  process.exitCode = code;
  // Connections of the Temporal SDK may keep the process alive although all is done.
  setImmediate(() => process.exit(code));
}

program.parseAsync().catch((thrown: unknown) => {
  if (thrown instanceof CommanderError) {
    const shown = ['commander.helpDisplayed', 'commander.version', 'commander.help'].includes(thrown.code);
    return process.exit(shown && thrown.exitCode === 0 ? 0 : exitCodes.usage);
  }
  const json = process.argv.includes('--json');
  if (thrown instanceof ApiProblem) {
    console.error(
      json ? JSON.stringify(thrown.problem) : `Refused (${thrown.problem.code}): ${thrown.message}`,
    );
    return process.exit(exitCodes.refused);
  }
  console.error(messageOf(thrown));
  process.exit(thrown instanceof Unreachable ? exitCodes.unreachable : exitCodes.refused);
});
