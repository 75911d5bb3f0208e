import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { badInput, messageOf, SignalboxError } from '../domain/errors';
import { roles } from '../domain/machines';
import { parseGrant } from '../domain/permissions';
import * as access from './access';
import * as run from './commands';
import { ApiProblem, Unreachable } from './client';
import { exitCodes } from './exit-codes';
import { signingKeysFile } from './state-dir';

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
const client = (name: string, description: string, parent = program) =>
  parent
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

client('sign-in', 'print the link by which the page signs a local person in; each is good once').action(
  async (options: run.Shared) => exit(run.signIn(options)),
);

const token = program.command('token').description('API tokens');
client('create', 'make an API token; it is shown once', token)
  .requiredOption('--person <name>', 'whose it is')
  .requiredOption('--role <role...>', `${roles.join(', ')}; on one target: release-manager:shop`)
  .option('--expires <when>', '30d, 12h, 2026-12-31 or never', '90d')
  .option('--label <text>', 'what it is for')
  .option('--database', 'make it straight in the database at DATABASE_URL, for the first admin', false)
  .action(async function (this: Command, options) {
    for (const role of options.role as string[])
      if (!parseGrant(role))
        throw badInput(
          `--role ${role} is no role; there are ${roles.join(', ')}, each also on one target: sre:shop.`,
        );
    if (options.database) return exit(await access.createTokenInDatabase(options));
    exit(await run.runClientCommand(options, (context) => access.createToken(context, options)));
  });
client('list', 'list the tokens', token).action(action(access.listTokens));
client('revoke', 'revoke a token; it stops working at once', token)
  .argument('<id>', 'its number, from "token list"')
  .option('--reason <text>')
  .action(action(access.revokeToken));

const person = program.command('person').description('people');
for (const verb of ['disable', 'enable'] as const)
  client(verb, verb === 'disable' ? 'shut a person out, at once' : 'let a person in again', person)
    .argument('<name>')
    .option('--reason <text>')
    .action(action(access.setPerson(verb)));

const audit = program.command('audit').description('the audit trail');
client('list', 'who did what, the latest last', audit)
  .option('--actor <name>')
  .option('--action <text>', 'an action, or how it begins: deployment.')
  .option('--subject <key>', 'CP-7, CP-7.1, RFC-7')
  .option('--request <id>')
  .option('--limit <n>', 'at most so many', '50')
  .action(action(access.listAudit));
client('verify', 'check the whole chain; names the first entry that is wrong', audit)
  .option('--heads <file>', 'exported heads (default: audit-heads.jsonl in the state directory)')
  .action(async (options) => exit(await access.verifyAudit(options)));

const keys = program.command('keys').description('the keys that sign what is said to workflows');
keys
  .command('list')
  .description('list them; the first one signs, all verify')
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    const { readKeys } = await import('../temporal-config/keys-file.js');
    const [first, ...others] = readKeys(signingKeysFile(resolve(state))).keys;
    for (const { id, createdAt } of [first!, ...others])
      console.log(`${id}  since ${createdAt}  ${id === first!.id ? 'signs' : 'verifies only'}`);
    exit(0);
  });
keys
  .command('rotate')
  .description('a new key signs from now on; the old ones still verify')
  .addOption(stateOption())
  .action(async ({ state }: { state: string }) => {
    const { rotateKeys } = await import('../temporal-config/keys-file.js');
    console.log(`${rotateKeys(signingKeysFile(resolve(state)))} signs from now on.`);
    exit(0);
  });
keys
  .command('drop')
  .description('drop an old key: what it signed is refused from now on')
  .argument('<id>')
  .addOption(stateOption())
  .action(async (id: string, { state }: { state: string }) => {
    const { dropKey } = await import('../temporal-config/keys-file.js');
    dropKey(signingKeysFile(resolve(state)), id);
    console.log(`${id} is dropped.`);
    exit(0);
  });

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
  if (thrown instanceof SignalboxError) return process.exit(exitCodes.usage);
  process.exit(thrown instanceof Unreachable ? exitCodes.unreachable : exitCodes.refused);
});
