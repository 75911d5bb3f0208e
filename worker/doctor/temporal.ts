import { attributesLacking } from '../../temporal-config/setup';
import { oddSchedules, reconcileEveryMs, reconcileSchedule } from '../schedules';
import { inSeconds } from './database';
import type { Difference, Examined } from './difference';

/** Whether Temporal has what Signalbox set up there: schedules, search attributes, and how long it keeps what has ended. */
export async function examineTemporal(examined: Examined, now: number): Promise<Difference[]> {
  const { temporal } = examined;
  const odd = await oddSchedules(temporal);
  const reconciles = !odd.some(({ schedule }) => schedule.scheduleId === reconcileSchedule);
  return [
    odd.map(inWords),
    reconciles ? await next(examined, now) : [],
    await searchAttributes(examined),
    await retention(examined),
  ].flat();
}

const setAgain = 'Nothing, while a worker runs: it sets it up again within ten seconds. Else start one.';
function inWords({ schedule, how, what }: Awaited<ReturnType<typeof oddSchedules>>[number]): Difference {
  const { scheduleId: subject, workflowType, without } = schedule;
  const found = (said: string, todo: string): Difference => ({ kind: 'schedule', subject, what: said, todo });
  if (how === 'gone')
    return found(`Temporal does not have the schedule that starts ${workflowType}: ${without}.`, setAgain);
  if (how === 'changed')
    return found(
      `The schedule that starts ${workflowType} was changed in Temporal (${what}), so that it may be that ${without}.`,
      setAgain,
    );
  // The note is written by whoever paused it, or it is the head of the audit trail.
  return found(
    `The schedule that starts ${workflowType} is paused${what && !what.startsWith('{') ? ` (${what})` : ''}: ${without}.`,
    `temporal schedule toggle --unpause --schedule-id ${subject}`,
  );
}

const toleratedMs = 10_000;
/** Whether it comes when it should. */
async function next({ temporal }: Examined, now: number): Promise<Difference[]> {
  const { info } = await temporal.schedule.getHandle(reconcileSchedule).describe();
  const [planned] = info.nextActionTimes;
  const until = planned ? planned.getTime() - now : 0;
  if (until > -toleratedMs && until <= reconcileEveryMs + toleratedMs) return [];
  return [
    {
      kind: 'clock',
      subject: 'Temporal',
      what: `Temporal plans the next comparison for ${planned!.toISOString()}, ${inSeconds(until)} the database's now: its clock is another one, or its schedule stands still.`,
      todo: 'Set both by NTP; if both are right, look into the log of the Temporal server.',
    },
  ];
}

async function searchAttributes({ temporal }: Examined): Promise<Difference[]> {
  const { connection, options } = temporal;
  const { missing, ofAnotherType } = await attributesLacking({ connection, namespace: options.namespace });
  const found = (name: string, what: string, todo: string): Difference => ({
    kind: 'search-attribute',
    subject: name,
    what: `${what}: nothing that carries it can be started or go on.`,
    todo,
  });
  return [
    ...missing.map((name) => found(name, `Temporal does not have the search attribute ${name}`, setAgain)),
    ...ofAnotherType.map((name) =>
      found(
        name,
        `The search attribute ${name} is not of type Keyword in Temporal`,
        `temporal operator search-attribute remove --name ${name}, then "signalbox temporal setup" (a worker does that too).`,
      ),
    ),
  ];
}

const daySeconds = 86_400;
/** Histories are kept by Signalbox once their workflows have ended; a worker needs the time for it. */
async function retention({ temporal }: Examined): Promise<Difference[]> {
  const { namespace } = temporal.options;
  const { config } = await temporal.workflowService.describeNamespace({ namespace });
  const seconds = Number(config?.workflowExecutionRetentionTtl?.seconds ?? daySeconds);
  if (seconds >= daySeconds) return [];
  return [
    {
      kind: 'namespace',
      subject: namespace,
      what: `Temporal keeps workflows of the namespace ${namespace} that have ended for ${seconds} seconds: their histories may be gone before a worker has kept them, and who ended them is not found out.`,
      todo: '"signalbox temporal setup --retention-days 7"',
    },
  ];
}
