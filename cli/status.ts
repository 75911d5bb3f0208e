import { badInput } from '../domain/errors';
import { insteadOf } from '../domain/nearest';
import { promotionReadsAs } from '../domain/reads-as';
import type { ChangeRequestView, DeploymentView, PromotionView } from '../domain/schemas';
import { troubleInWords } from '../domain/trouble';
import { wordState, wordTitle } from '../domain/words';
import { table, type Context } from './commands';
import { exitCodes } from './exit-codes';

/** `signalbox status`: the targets and recent promotions, those of one target, or one promotion, deployment or change request, in words. */
export async function status({ client, json, show, say }: Context, key?: string): Promise<number> {
  if (key && /^RFC-/i.test(key)) {
    const request = await client.changeRequest(key);
    show(request, requestInWords(request).join('\n'));
    return exitCodes.done;
  }
  if (key && /^CP-.*\./i.test(key)) {
    const attempt = await client.deployment(key);
    show(attempt, attemptInWords(attempt).join('\n'));
    return exitCodes.done;
  }
  if (key && /^CP-[0-9]/i.test(key)) {
    const promotion = await client.promotion(key);
    show(promotion, promotionInWords(promotion).join('\n'));
    return exitCodes.done;
  }
  const [all, promotions] = await Promise.all([client.targets(), client.promotions(20, key)]);
  const targets = { items: all.items.filter(({ name }) => key === undefined || name === key) };
  if (key && targets.items.length === 0)
    throw badInput(
      `"${key}" is no promotion (CP-7), deployment (CP-7.1) or change request (RFC-7), and no target. ${insteadOf(
        key,
        all.items.map(({ name }) => name),
      )}`,
    );
  if (json) {
    console.log(JSON.stringify({ targets: targets.items, promotions: promotions.items }));
    return exitCodes.done;
  }
  const targetTable = table(
    ['target', 'environment', 'runs', 'lane', 'window', 'promotions'],
    targets.items.map((t) => [
      t.name,
      t.environment,
      [
        t.current
          ? `${t.current.revision} (${t.current.promotion}, ${short(t.current.release)})`
          : (t.observed?.what ?? 'no release'),
        ...(t.observed ? [`seen ${t.observed.at ?? 'never'}: ${t.observed.why}`] : []),
      ].join('\n'),
      t.lane ?? 'free',
      t.window.open
        ? `open${t.window.nextClose ? ` until ${t.window.nextClose}` : ''}`
        : `closed: ${t.window.reason}${t.window.nextOpen ? `; opens ${t.window.nextOpen}` : ''}`,
      t.promotionsEnabled ? 'on' : `off: ${t.promotionsDisabledReason}`,
    ]),
  );
  const promotionTable = table(
    ['promotion', 'target', 'revision', 'title', 'status', 'latest attempt'],
    promotions.items.map((p) => [p.key, p.target, p.revision, p.title, live(p), latest(p)]),
  );
  say(targetTable);
  say(promotionTable);
  return exitCodes.done;
}

const short = (digest: string) => digest.slice(0, 12);
const live = (p: PromotionView) => {
  const { state } = promotionReadsAs(p);
  return p.live ? `${state}, live` : state;
};
const latest = (p: PromotionView) => {
  const attempt = p.deployments.at(-1);
  return attempt
    ? `${attempt.key}${attempt.trigger === 'rollback' ? ' (rollback by hand)' : ''} ${attempt.status}${attempt.waitingFor ? `: ${attempt.waitingFor}` : ''}`
    : '';
};

const promotionInWords = (p: PromotionView): string[] => [
  `${p.key} ${p.title}: ${live(p)}`,
  `  ${p.revision} (${short(p.commit)}) to ${p.target}, shipped by ${p.shippedBy} at ${p.shippedAt}; change request ${p.changeRequest}`,
  ...(p.backlogItems.length > 0 ? [`  carries ${p.backlogItems.join(', ')}`] : []),
  ...(p.blocked ? [`  blocked: ${p.blocked}`] : []),
  // The latest is what one asks about.
  ...[...p.deployments].reverse().flatMap(attemptInWords),
];

function attemptInWords(d: DeploymentView): string[] {
  const width = Math.max(...d.steps.map(({ name }) => name.length));
  return [
    `${d.key} ${d.trigger} by ${d.startedBy}: ${d.status}`,
    ...(d.waitingFor ? [`  waits for ${d.waitingFor}`] : []),
    ...(d.startedAt ? [`  began ${d.startedAt}${d.finishedAt ? `, ended ${d.finishedAt}` : ''}`] : []),
    ...(d.runner ? [`  its steps are done by the runner ${d.runner}`] : []),
    ...d.steps.flatMap(({ name, status, startedAt, finishedAt, detail, trouble }) => [
      `  ${name.padEnd(width)}  ${status.padEnd(7)}  ${finishedAt ? seconds(startedAt, finishedAt) : ''}${detail ? `  ${detail}` : ''}`,
      ...(trouble ? [`  ${' '.repeat(width)}  ${troubleInWords(trouble, new Date().toISOString())}`] : []),
    ]),
    ...(d.backup
      ? [
          `  backup  ${d.backup.reference}${d.backup.removedAt ? `, removed ${d.backup.removedAt}` : `, ${d.backup.bytes} bytes, verified ${d.backup.verifiedAt}`}`,
        ]
      : []),
    ...d.words.map(
      (word) =>
        `  ${wordTitle(word)} asked by ${word.by} at ${word.saidAt}${word.reason ? ` (${word.reason})` : ''}: ${wordState[word.status]}. ${word.outcome}`,
    ),
    ...(d.outcome ? [`  ${d.outcome}`] : []),
    `  Temporal: ${d.temporal.url ?? d.temporal.workflowId}`,
  ];
}
const seconds = (from: string, to: string) => `${((Date.parse(to) - Date.parse(from)) / 1000).toFixed(1)} s`;

function requestInWords(r: ChangeRequestView): string[] {
  const [level] = r.approvals.levels.filter(({ missing }) => missing.length > 0);
  return [
    `${r.key} ${r.title}: ${r.status}`,
    `  ${r.type}, ${r.risk} risk${r.riskReasons.length > 0 ? ` (${r.riskReasons.join('; ')})` : ''}; requested by ${r.requester} for ${r.promotion}`,
    ...(r.emergencyReason ? [`  emergency: ${r.emergencyReason}`] : []),
    ...(r.description ? [`  ${r.description}`] : []),
    ...r.commits.map(({ commit, author, subject }) => `  ${short(commit)} ${author}: ${subject}`),
    `  ${r.files.length} files, ${r.lines} lines: ${r.files.map(({ path }) => path).join(', ')}`,
    ...(r.backlogItems.length > 0 ? [`  carries ${r.backlogItems.join(', ')}`] : []),
    ...(r.rollbackPlan ? [`  to go back: ${r.rollbackPlan}`] : []),
    ...(r.planned ? [`  planned for ${r.planned.start}, ${r.planned.minutes} min`] : []),
    ...r.conflicts.map(
      (c) =>
        `  overlaps ${c.with} ${c.title} on ${c.target}, ${c.from} to ${c.to}${r.conflictsAccepted ? `; accepted: ${r.conflictsAccepted}` : ''}`,
    ),
    ...r.decisions.map(
      ({ at, approver, decision, comment, refusal }) =>
        `  ${at} ${approver}: ${decision}${comment ? `, ${comment}` : ''}${refusal ? ` (does not count: ${refusal})` : ''}`,
    ),
    ...r.unheard.map(
      ({ saidAt, approver, decision, outcome }) => `  ${saidAt} ${approver}: ${decision}. ${outcome}`,
    ),
    ...(r.status === 'submitted' && level
      ? [`  ${level.name} waits for ${level.missing.join(' and ')}`]
      : []),
    ...(r.review ? [`  to be reviewed by ${r.review.dueAt}${r.review.overdue ? ', overdue' : ''}`] : []),
    ...(r.outcome ? [`  ${r.outcome}`] : []),
  ];
}
