import { resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { badInput, messageOf, SignalboxError } from '../domain/errors';
import { risks, roles } from '../domain/machines';
import { parseGrant } from '../domain/permissions';
import * as access from './access';
import { backlogCommands } from './backlog-commands';
import * as changes from './changes';
import * as run from './commands';
import * as windows from './windows';
import { ApiProblem, Unreachable } from './client';
import { exitCodes } from './exit-codes';
import { signingKeysFile } from './state-dir';
import { status } from './status';
import { version } from './version';

/** The `signalbox` command: `up`, `api`, `worker`, and the client commands. */
const number = (text: string) => {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('It has to be a number from 0 to 65535.');
  return port;
};
const slots = (text: string) => {
  const count = Number(text);
  if (!/^\d+$/.test(text) || count < 2 || count > 1_000)
    throw new InvalidArgumentError('It must be a number from 2 to 1000: one of them is kept for undos.');
  return count;
};
const buildId = (text: string) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$/.test(text))
    throw new InvalidArgumentError('It has to be of letters, digits and . _ + -, 100 at most.');
  return text;
};
const percentage = (text: string) => {
  if (!/^[1-9][0-9]?$/.test(text))
    throw new InvalidArgumentError('It has to be a whole number from 1 to 99.');
  return Number(text);
};
const program = new Command('signalbox')
  .description(
    'Release operations on durable execution: ship, approve, Deploy Now; rollback happens by itself.',
  )
  .version(version)
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
  .option(
    '--slots <n>',
    'how many steps it does at once (100); a part of them is kept for undos and health checks',
    slots,
  )
  .option(
    '--health-port <n>',
    'answer /health/live, /health/ready and /metrics here; 0: any free port',
    number,
  )
  .addOption(
    new Option(
      '--build-id <id>',
      'version of this worker: a deployment ends on the version where it began; "signalbox temporal use" chooses',
    )
      .env('SIGNALBOX_BUILD_ID')
      .argParser(buildId)
      .conflicts('runner'),
  )
  .option(
    '--runner <target>',
    "do this target's steps on its own host; SIGNALBOX_API and SIGNALBOX_TOKEN say where they are recorded",
  )
  .action(async (options) =>
    exit(
      options.runner
        ? await (await import('./runner.js')).runRunner(options)
        : await (await servers()).runWorker(options),
    ),
  );
const client = (name: string, description: string, parent = program) =>
  parent
    .command(name)
    .description(description)
    .addOption(stateOption())
    .option('--json', 'print the answer as JSON', false);
const whole = (text: string) => {
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number above 0.');
  return Number(text);
};
/** What can be said of a change. */
const describing = (command: Command) =>
  command
    .option('--description <text>')
    .option('--risk <risk>', `${risks.join(', ')} (default: by the target's rules)`)
    .option('--risk-reason <text>', 'why it is lower than the rules say')
    .option('--rollback-plan <text>')
    .option('--backup-plan <text>')
    .option('--planned-start <time>', 'when it is meant to be deployed, ISO 8601')
    .option('--planned-minutes <n>', 'and for how long', whole)
    .option('--accept-conflicts <reason>', 'it may overlap another schedule, and why');
type Handler = Parameters<typeof run.runClientCommand>[1];
const action = (handler: (...args: never[]) => ReturnType<Handler>) =>
  async function (this: Command, ...args: unknown[]) {
    const options = this.opts<run.Shared>();
    exit(await run.runClientCommand(options, (context) => handler(...([context, ...args] as never[]))));
  };
describing(client('ship', 'record a promotion of a revision to a target, and submit it for approval'))
  .argument('<target>')
  .argument('<revision>', 'tag, branch or commit')
  .option('--title <text>', 'what it brings (default: target and revision)')
  .option('--item <key...>', 'backlog items that it brings, besides those its commits name')
  .option('--emergency <reason>', 'an emergency change, and why')
  .option('--draft', 'do not submit it yet', false)
  .action(action(run.ship));
describing(client('edit', 'change what a request says; this voids what was approved'))
  .argument('<key>', 'CP-7 or RFC-7')
  .option('--title <text>')
  .option('--revision <name>', 'another tag, branch or commit')
  .action(action(changes.editChange));
client('revise', 'make a rejected request a draft again, to be changed and submitted anew')
  .argument('<key>', 'CP-7 or RFC-7')
  .option('--reason <text>')
  .action(action(changes.reviseChange));
client('submit', 'submit a draft for approval').argument('<key>', 'CP-7 or RFC-7').action(action(run.submit));
client('approve', 'approve a change')
  .argument('<key>', 'CP-7 or RFC-7')
  .option('--comment <text>')
  .action(action(run.approve));
client('reject', 'reject a change')
  .argument('<key>', 'CP-7 or RFC-7')
  .requiredOption('--comment <text>', 'why')
  .action(action(run.reject));
client('withdraw-approval', 'take back your approval, until the deployment starts')
  .argument('<key>', 'CP-7 or RFC-7')
  .option('--reason <text>')
  .action(action(changes.withdrawApproval));
client('review', 'review afterwards what was deployed past its window; it completes the request')
  .argument('<key>', 'CP-7 or RFC-7')
  .requiredOption('--comment <text>', 'what you found')
  .action(action(changes.review));
const acting = (name: string, description: string) =>
  client(name, description)
    .argument('<promotion>', 'CP-7')
    .option('--reason <text>')
    .option('--wait', 'follow it to its end; the exit code says how it ended', false);
const whenOpen = ['--when-open', 'outside of its window, wait until that opens', false] as const;
acting('deploy', 'Deploy Now')
  .option(...whenOpen)
  .action(action(run.deploy));
acting('retry', 'deploy a promotion that rolled back once more')
  .option(...whenOpen)
  .action(action(run.retry));
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
client('adopt', 'take what is live on a target into the record, whoever put it there')
  .argument('<target>')
  .requiredOption('--reason <text>', 'why')
  .action(action(run.adopt));
client('withdraw', 'withdraw a promotion and cancel its change request')
  .argument('<promotion>', 'CP-7')
  .option('--reason <text>')
  .action(action(run.withdraw));
client('status', 'targets and recent promotions, or one of them')
  .argument('[key]', 'CP-7, CP-7.1, RFC-7, or the name of a target')
  .action(action(status));

client('sign-in', 'print the link by which the page signs a local person in; each is good once').action(
  async (options: run.Shared) => exit(run.signIn(options)),
);

backlogCommands(program, client, action, whole);

const window = program.command('window').description('deployment windows and freezes');
const shaping = (command: Command) =>
  command
    .option('--target <name>', 'for one target (default: every target)')
    .option('--environment <name>', 'for one environment')
    .option('--start <local>', 'first occurrence, 2026-01-05T20:00')
    .option('--zone <iana>', 'its zone, Europe/Berlin (default: the zone of this machine)')
    .option('--minutes <n>', 'how long it lasts', whole)
    .option('--rrule <rule>', 'how it recurs, FREQ=WEEKLY;BYDAY=MO,TU (default: once)')
    .option('--except <date...>', 'local dates on which it does not begin')
    .option('--until <date>', 'its last local date')
    .option('--type <type...>', 'only for normal or emergency changes')
    .option('--risk <risk...>', 'only for changes of these risks')
    .option('--reason <text>');
const kind = ['<kind>', 'allow or freeze'] as const;
shaping(
  client('add', 'add a window or a freeze', window)
    .argument(...kind)
    .argument('<name>'),
).action(action(windows.addWindow));
shaping(
  client('preview', 'what a window would hold, without adding it', window)
    .argument(...kind)
    .argument('<name>'),
).action(action(windows.previewWindow));
shaping(
  client('edit', 'change a window; whoever waits for one looks again', window).argument(
    '<window>',
    'its number or name',
  ),
)
  .option('--name <text>')
  .action(action(windows.editWindow));
client('remove', 'remove a window', window)
  .argument('<window>', 'its number or name')
  .option('--reason <text>')
  .action(action(windows.removeWindow));
client('list', 'list the windows', window).action(action(windows.listWindows));
client('status', 'whether a target or a promotion is open, why, until when; ends with 1 when closed', window)
  .argument('<which>', 'a target, or CP-7')
  .option('--at <time>', 'at another time, ISO 8601')
  .action(action(windows.windowStatus));
client('override', 'ask to pass a window with one promotion; a second release manager has to agree', window)
  .argument('<window>', 'its number or name')
  .argument('<promotion>', 'CP-7')
  .requiredOption('--reason <text>')
  .option('--hours <n>', 'until it expires', whole, 4)
  .action(action(windows.override));
client('second', 'agree to an override that somebody else asked for', window)
  .argument('<override>', 'its number')
  .action(action(windows.second));
client('revoke', 'take an override back', window)
  .argument('<override>', 'its number')
  .option('--reason <text>')
  .action(action(windows.revokeOverride));

const calendar = program.command('calendar').description('windows, freezes, planned and past deployments');
client('show', 'the next days', calendar)
  .option('--days <n>', 'how many', whole, 14)
  .action(action(windows.calendar));
client('feed', 'an address for calendar programs (iCalendar)', calendar)
  .requiredOption('--label <text>', 'what will read it, such as "phone"')
  .action(action(windows.calendarFeed));

const notifications = program.command('notifications').description('what others are told by webhook');
client('list', 'list them; by default those that could not be delivered', notifications)
  .option('--status <status>', 'undeliverable, pending or delivered', 'undeliverable')
  .action(action(changes.listNotifications));
client('resend', 'send one again', notifications)
  .argument('<number>')
  .action(action(changes.resendNotification));

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
client('link', 'say by which account of the sign-in service a person comes in', person)
  .argument('<name>')
  .requiredOption('--subject <text>', 'as the refused sign-in says it: "https://idp.example 1234"')
  .option('--reason <text>')
  .action(action(access.linkPerson));

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

const backup = program
  .command('backup')
  .description('backups, on the host where the worker runs and they lie');
const backups = (name: string, description: string) =>
  client(name, description, backup).option('--config <file>', 'targets file');
backups('list', 'which there are, the newest first')
  .option('--target <name>')
  .option('--limit <n>', 'at most so many', '50')
  .action(async (options) => exit(await (await import('./backups.js')).listBackups(options)));
backups('verify', 'whether a backup is still what was made and verified')
  .argument('<deployment>', 'CP-7.1')
  .action(async (key: string, options) =>
    exit(await (await import('./backups.js')).verifyBackup(key, options)),
  );
backups('restore', "put a target's data back as it was before a deployment")
  .argument('<deployment>', 'CP-7.1')
  .option('--in-place', 'replace the data of the target; what was written since is lost', false)
  .option('--reason <text>', 'why, for the audit trail')
  .action(async (key: string, options) =>
    exit(await (await import('./backups.js')).restoreBackup(key, options)),
  );

client('doctor', 'what does not fit between record, Temporal and targets, and what to do; it only reads')
  .option('--config <file>', 'targets file')
  .action(async (options) => exit(await (await import('./doctor.js')).doctor(options)));

const temporal = program.command('temporal').description('the Temporal server that the environment names');
const onTemporal = () => import('./temporal.js');
temporal
  .command('setup')
  .description('make the namespace and the search attributes that Signalbox needs; safe to repeat')
  .option('--retention-days <n>', 'how long Temporal keeps a workflow that has ended', whole)
  .action(async (options) => exit(await (await onTemporal()).setUp(options)));
temporal
  .command('versions')
  .description('the versions of workers, and how many deployments each has left')
  .option('--json', 'print the answer as JSON', false)
  .action(async (options) => exit(await (await onTemporal()).listVersions(options)));
temporal
  .command('use')
  .description('have deployments begin on workers of this version; what has begun on another ends there')
  .argument('<build-id>', 'as given to "signalbox worker --build-id"', buildId)
  .addOption(new Option('--percent <n>', 'only so much of what begins').argParser(percentage))
  .addOption(
    new Option('--wait', 'until the other versions have nothing left').default(false).conflicts('percent'),
  )
  .action(async (id: string, options) => exit(await (await onTemporal()).useVersion(id, options)));

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
  .command('create')
  .description('make a file of keys, to be given to API and workers as SIGNALBOX_SIGNING_KEYS_FILE')
  .argument('<file>')
  .action(async (file: string) => {
    const { createKeys } = await import('../temporal-config/keys-file.js');
    console.log(`${createKeys(resolve(file))} signs; keep ${file} as a secret.`);
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
  // Connections of the Temporal SDK may keep the process alive although all is done. A pipe takes what was written
  // bit by bit, so it is waited for.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}

program.parseAsync().catch((thrown: unknown) => {
  if (thrown instanceof CommanderError) {
    const shown = ['commander.helpDisplayed', 'commander.version', 'commander.help'].includes(thrown.code);
    return exit(shown && thrown.exitCode === 0 ? 0 : exitCodes.usage);
  }
  const json = process.argv.includes('--json');
  if (thrown instanceof ApiProblem) {
    console.error(
      json ? JSON.stringify(thrown.problem) : `Refused (${thrown.problem.code}): ${thrown.message}`,
    );
    return exit(exitCodes.refused);
  }
  console.error(messageOf(thrown));
  if (thrown instanceof SignalboxError) return exit(exitCodes.usage);
  exit(thrown instanceof Unreachable ? exitCodes.unreachable : exitCodes.refused);
});
