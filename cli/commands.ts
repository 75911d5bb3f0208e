import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import Table from 'cli-table3';
import picocolors from 'picocolors';
import type { Role } from '../domain/machines';
import type { ChangeRequestView, DeploymentView } from '../domain/schemas';
import { changeOf, type ChangeOptions } from './change-options';
import { createClient, type Client, type Place } from './client';
import { exitCodes } from './exit-codes';
import { patience, type Patiently } from './patience';
import { readEndpoints } from './state-dir';
import { printable } from '../domain/printable';
import { forTerminal } from './terminal';
import { sentences } from '../domain/sentences';
import { watch } from './watch';

/** The client commands. Each prints plain words, or with --json the entity, and answers an exit code. */
export interface Shared {
  state: string;
  json: boolean;
}
export interface Context {
  client: Client;
  json: boolean;
  say(line: string): void;
  /** Prints the entity as JSON, or the line. */
  show(entity: object, line: string): void;
  /** Says as whom a command acts, where the role was chosen for the reader. */
  as(role: Role): Promise<void>;
}

export async function runClientCommand(
  shared: Shared,
  command: (context: Context) => Promise<number>,
): Promise<number> {
  // Whoever reads our output may stop in the middle, as head does.
  process.stdout.on('error', (thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'EPIPE') process.exit(exitCodes.done);
    throw thrown;
  });
  const place = placeOf(shared.state);
  const client = createClient(place);
  const say = (line: string) =>
    void (shared.json ? process.stderr : process.stdout).write(`${forTerminal(line)}\n`);
  return command({
    client,
    json: shared.json,
    say,
    show: (entity, line) => (shared.json ? console.log(JSON.stringify(entity)) : say(line)),
    async as(role) {
      if (shared.json || place.tokens.any) return;
      const { person } = await client.me(role);
      process.stdout.write(`${picocolors.dim(printable(`as ${person} (${role})`))}\n`);
    },
  });
}

/** Prints the present sign-in link of the embedded mode. */
export function signIn({ state, json }: Shared): number {
  const endpoints = readEndpoints(state);
  if (!endpoints)
    throw new Error(`There is no running Signalbox in ${state}; start it with "npx signalbox up".`);
  console.log(json ? JSON.stringify({ signIn: endpoints.signIn }) : endpoints.signIn);
  return exitCodes.done;
}

function placeOf(state: string): Place {
  const { SIGNALBOX_URL: url, SIGNALBOX_TOKEN: token } = process.env;
  if (url && token) return { api: `${url.replace(/\/+$/, '')}/api`, tokens: { any: token } };
  const endpoints = readEndpoints(state);
  if (!endpoints)
    throw new Error(
      `There is no running Signalbox in ${state}: it has no endpoints.json. Start it with "npx signalbox up", name its folder with --state, or set SIGNALBOX_URL and SIGNALBOX_TOKEN.`,
    );
  return endpoints;
}

export const rfcOf = (key: string) => key.replace(/^CP-/i, 'RFC-');
/** `CP-7` means its latest attempt. */
async function attemptOf(client: Client, key: string): Promise<string> {
  if (key.includes('.')) return key;
  const { current } = await client.promotion(key);
  if (!current)
    throw new Error(`${key} has no deployment yet; deploy it with "npx signalbox deploy ${key}".`);
  return current;
}

export async function ship(
  { client, show, say, as }: Context,
  target: string,
  revision: string,
  options: ChangeOptions & { emergency?: string; draft: boolean; item?: string[] },
): Promise<number> {
  await as('contributor');
  const promotion = await client.ship(
    {
      target,
      revision,
      title: options.title ?? `${target} ${revision}`,
      submit: !options.draft,
      change: {
        type: options.emergency ? 'emergency' : 'normal',
        ...(options.emergency ? { emergencyReason: options.emergency } : {}),
        ...changeOf(options),
      },
      ...(options.item ? { backlogItems: options.item } : {}),
    },
    say,
  );
  show(
    promotion,
    `Shipped ${revision} (commit ${promotion.commit.slice(0, 12)}) to ${target} as ${promotion.key}; ${promotion.accepted ?? `change request ${promotion.changeRequest} is ${options.draft ? 'a draft: submit it next' : 'submitted: somebody else approves it next'}.`}`,
  );
  return exitCodes.done;
}

export async function submit({ client, show, as }: Context, key: string): Promise<number> {
  await as('contributor');
  const request = await client.submit(rfcOf(key));
  show(request, request.accepted ?? `${request.key} is ${request.status}.`);
  return exitCodes.done;
}

/** The next command may depend on what was decided, which a busy worker records a little later. */
const heardWithinMs = 20_000;
/** Waits until a decision was recorded. What takes longer goes on by itself, as the answer says. */
export async function heard(client: Client, request: ChangeRequestView): Promise<ChangeRequestView> {
  const until = performance.now() + heardWithinMs;
  while (request.accepted && performance.now() < until) {
    await sleep(500);
    // It is taken down, whether or not it can be looked at now.
    const now = await client.changeRequest(request.key).catch(() => undefined);
    if (now?.unheard.length === 0) return now;
  }
  return request;
}

async function decide(
  { client, show, as }: Context,
  key: string,
  decision: 'approve' | 'reject',
  comment?: string,
) {
  await as('approver');
  const request = await heard(
    client,
    await client.decide(rfcOf(key), { decision, ...(comment ? { comment } : {}) }),
  );
  const next =
    request.status === 'approved' ? ` Deploy it with "npx signalbox deploy ${request.promotion}".` : '';
  show(request, request.accepted ?? `${request.key} is ${request.status}.${next}${missing(request)}`);
  return exitCodes.done;
}
/** Who is still to approve, in plain words. */
const missing = ({ status, approvals }: ChangeRequestView) => {
  const level = approvals.levels.find((l) => l.missing.length > 0);
  return status === 'submitted' && level
    ? ` Level "${level.name}" needs ${level.missing.join(' and ')}.`
    : '';
};
export const approve = (context: Context, key: string, options: { comment?: string }) =>
  decide(context, key, 'approve', options.comment);
export const reject = (context: Context, key: string, options: { comment: string }) =>
  decide(context, key, 'reject', options.comment);

interface Acting {
  reason?: string;
  whenOpen?: boolean;
  wait: boolean;
}
/** What was asked for is sent no later than this: who waited longer decides anew. */
const actsWithinMs = 300_000;
const acting =
  (verb: 'deploy' | 'retry' | 'rollback') =>
  async (context: Context, key: string, options: Acting): Promise<number> => {
    const { client, show, as, say } = context;
    // Whoever does not wait for the end is told at once what is away.
    const patiently: Patiently = options.wait ? patience(client, say) : (ask) => ask();
    await patiently(() => as('release-manager'));
    const once = randomUUID();
    const body = {
      ...(options.reason ? { reason: options.reason } : {}),
      ...(options.whenOpen ? { when: 'next-window' } : {}),
    };
    const briefly: Patiently = options.wait ? patience(client, say, actsWithinMs) : patiently;
    const started = await briefly(() => client.act('release-manager', key, verb, body, once));
    const { warning } = await patiently(() => client.windowStatus({ promotion: started.promotion }));
    if (warning) say(warning);
    if (!options.wait) {
      show(
        started,
        sentences(
          started.accepted ??
            `${started.key} is ${started.status}${started.waitingFor ? `, waiting for ${started.waitingFor}` : ''}`,
          `Follow it with "npx signalbox watch ${started.key}"`,
        ),
      );
      return exitCodes.done;
    }
    const how = { log: false, until: stuck, patiently, accepted: started.accepted };
    return ended(context, await watch(client, started.key, say, how));
  };
export const deploy = acting('deploy');
export const retry = acting('retry');
export const rollback = acting('rollback');

/** Nothing more happens by itself. */
const stuck = ({ status }: DeploymentView) => status === 'rollback-failed';

function ended({ json }: Context, seen: DeploymentView): number {
  if (json) console.log(JSON.stringify(seen));
  switch (seen.status) {
    case 'succeeded':
      return exitCodes.done;
    case 'rolled-back':
      return exitCodes.rolledBack;
    case 'rollback-failed':
      return exitCodes.rollbackFailed;
    default:
      return exitCodes.notDeployed;
  }
}

export async function follow(context: Context, key: string): Promise<number> {
  const { client, say } = context;
  const patiently = patience(client, say);
  const attempt = await patiently(() => attemptOf(client, key));
  return ended(context, await watch(client, attempt, say, { log: true, until: stuck, patiently }));
}

export async function cancel(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('release-manager');
  const attempt = await attemptOf(client, key);
  const seen = await client.cancel(attempt, options.reason ? { reason: options.reason } : {});
  show(seen, answerOf(seen, 'cancel'));
  return exitCodes.done;
}

export async function resolveRollback(
  { client, show, as, say }: Context,
  key: string,
  options: { retry?: boolean; accept?: boolean; reason: string },
): Promise<number> {
  if (Boolean(options.retry) === Boolean(options.accept)) {
    say('Say either --retry (undo again) or --accept (leave the target as it is).');
    return exitCodes.usage;
  }
  await as('sre');
  const attempt = await attemptOf(client, key);
  const seen = await client.resolve(attempt, {
    action: options.retry ? 'retry' : 'accept',
    reason: options.reason,
  });
  show(seen, answerOf(seen, 'resolve'));
  return exitCodes.done;
}

/** What became of the latest word of a kind. */
const answerOf = ({ key, status, words }: DeploymentView, kind: 'cancel' | 'resolve') =>
  `${words.findLast((word) => word.kind === kind)?.outcome ?? 'It was recorded.'} ${key} is ${status}.`;

export async function adopt(
  { client, show, as }: Context,
  target: string,
  options: { reason: string },
): Promise<number> {
  await as('sre');
  const seen = await client.adopt(target, { reason: options.reason });
  const runs = seen.current
    ? `${seen.current.revision} (${seen.current.promotion})`
    : (seen.observed?.what ?? 'no release');
  show(seen, `${target} runs ${runs}.`);
  return exitCodes.done;
}

export async function withdraw(
  { client, show, as }: Context,
  key: string,
  options: { reason?: string },
): Promise<number> {
  await as('contributor');
  const promotion = await client.withdraw(key, options.reason ? { reason: options.reason } : {});
  show(promotion, `${promotion.key} is ${promotion.status}.`);
  return exitCodes.done;
}

/** Rows as a table without colours. */
export function table(head: string[], rows: string[][]): string {
  const made = new Table({ head, style: { head: [], border: [] } });
  made.push(...rows);
  return made.toString();
}
