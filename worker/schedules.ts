import {
  ScheduleAlreadyRunning,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type Client,
  type ScheduleDescription,
  type ScheduleUpdateOptions,
} from '@temporalio/client';
import { NamespaceNotFoundError } from '@temporalio/common';
import type { Logger } from 'pino';
import { canonical } from '../domain/canonical';
import type { Temporal } from '../temporal-config/connection';
import { controlQueue } from '../temporal-config/names';
import { attributesLacking, onceKnown, setUpTemporal } from '../temporal-config/setup';
import { repeat, type Repeated } from './repeat';

export const reconcileEveryMs = 30_000;
export const reconcileSchedule = 'signalbox-reconcile';
const lookEveryMs = 10_000;

/** What runs by itself, how often, and what nobody does without it. */
const schedules = [
  {
    scheduleId: reconcileSchedule,
    workflowType: 'reconcile',
    everyMs: reconcileEveryMs,
    summary: 'Compare the record with Temporal and mend what drifted apart',
    without: 'nothing is repaired',
  },
  {
    scheduleId: 'signalbox-prune-backups',
    workflowType: 'pruneBackups',
    everyMs: 3_600_000,
    summary: 'Remove backups that are old enough and that nothing can need any more',
    without: 'no old backup is removed',
  },
  {
    scheduleId: 'signalbox-prune-record',
    workflowType: 'pruneRecord',
    everyMs: 3_600_000,
    summary: 'Remove logs and histories that policy does not keep any longer',
    without: 'no old log and no old history is removed',
  },
] as const;
type Schedule = (typeof schedules)[number];

const catchupMs = 10_000;
const optionsOf = ({ scheduleId, workflowType, everyMs, summary }: Schedule) => ({
  spec: { intervals: [{ every: everyMs }] },
  policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: catchupMs, pauseOnFailure: false },
  action: {
    type: 'startWorkflow' as const,
    workflowType,
    workflowId: scheduleId.replace('signalbox-', ''),
    taskQueue: controlQueue,
    args: [],
    staticSummary: summary,
  },
});

/** What may be changed of a schedule, in words, as Temporal has it and as Signalbox sets it up. */
function partsOf(schedule: Schedule, { spec, action, policies, state }: ScheduleDescription) {
  const wanted = optionsOf(schedule);
  const { intervals, calendars, skip, startAt, endAt, jitter } = spec;
  const { workflowType, workflowId, taskQueue, args, retry } = action;
  const { workflowExecutionTimeout, workflowRunTimeout, workflowTaskTimeout } = action;
  const timeouts = [workflowExecutionTimeout, workflowRunTimeout, workflowTaskTimeout];
  const every = intervals?.map(({ every: ms, offset }) => [ms, offset || 0]) ?? [];
  const given = (value: unknown) => value ?? null;
  return [
    [
      'when it runs',
      [every, calendars ?? [], skip ?? [], given(startAt), given(endAt), jitter || 0],
      [[[schedule.everyMs, 0]], [], [], null, null, 0],
    ],
    [
      'what it starts',
      [workflowType, workflowId, taskQueue, args ?? [], given(retry), timeouts.map((ms) => ms || 0)],
      [wanted.action.workflowType, wanted.action.workflowId, wanted.action.taskQueue, [], null, [0, 0, 0]],
    ],
    [
      'what becomes of runs that overlap, were missed or failed',
      [policies.overlap, policies.catchupWindow, policies.pauseOnFailure],
      [wanted.policies.overlap, catchupMs, false],
    ],
    ['how often it may still run', [given(state.remainingActions)], [null]],
  ] as const;
}

/** A schedule that is not as Signalbox set it up. */
export interface Odd {
  schedule: Schedule;
  /** gone: Temporal does not have it; paused: by somebody, who has a reason; else what was changed of it, in words. */
  how: 'gone' | 'paused' | 'changed';
  what: string;
}

/** The schedules that are not as Signalbox set them up. */
export async function oddSchedules(client: Client): Promise<Odd[]> {
  const odd: Odd[] = [];
  for (const schedule of schedules)
    try {
      const found = await client.schedule.getHandle(schedule.scheduleId).describe();
      const changed = partsOf(schedule, found).filter(
        ([, is, wanted]) => canonical(is) !== canonical(wanted),
      );
      if (changed.length > 0)
        odd.push({ schedule, how: 'changed', what: changed.map(([what]) => what).join(', ') });
      if (found.state.paused) odd.push({ schedule, how: 'paused', what: found.state.note ?? '' });
    } catch (thrown) {
      if (!(thrown instanceof ScheduleNotFoundError)) throw thrown;
      odd.push({ schedule, how: 'gone', what: '' });
    }
  return odd;
}

/**
 * Keeps what Signalbox needs in Temporal there: a namespace that was lost and made anew has neither its search attributes nor
 * its schedules, and whoever reaches Temporal can remove or change each of them. When the one that reconciles was gone it runs
 * at once, because everything else may be gone too. One that is paused stays so: somebody did that, and the doctor names it.
 */
export async function keepSchedules(
  temporal: Temporal,
  log: Logger,
  everyMs = lookEveryMs,
): Promise<Repeated> {
  const { client } = temporal;
  await onceKnown(
    () => registerSchedules(client),
    (thrown) => thrown instanceof NamespaceNotFoundError,
  );
  return repeat({
    everyMs,
    log,
    failed: 'what Signalbox needs in Temporal could not be looked at or set up; trying again',
    async pass() {
      const odd = (await oddSchedules(client)).filter(({ how }) => how !== 'paused');
      const lacking = await attributesLacking(temporal);
      if (odd.length === 0 && lacking.missing.length === 0) return;
      const lost = [...odd.map(({ schedule }) => schedule.scheduleId), ...lacking.missing];
      log.warn(
        { lost },
        'Temporal lost what Signalbox needs there, or somebody changed it; setting it up again',
      );
      await setUpTemporal(temporal);
      await registerSchedules(client);
      if (odd.some(({ schedule, how }) => schedule.scheduleId === reconcileSchedule && how === 'gone'))
        await client.schedule.getHandle(reconcileSchedule).trigger();
    },
  });
}

/** Registers the schedules that the worker owns, or brings them up to date. */
export async function registerSchedules(client: Client): Promise<void> {
  for (const schedule of schedules) {
    const { scheduleId } = schedule;
    const options = optionsOf(schedule);
    try {
      await client.schedule.create({ scheduleId, ...options });
    } catch (thrown) {
      if (!(thrown instanceof ScheduleAlreadyRunning)) throw thrown;
      // Its note, and whether somebody paused it, stay.
      await client.schedule
        .getHandle(scheduleId)
        .update(({ state: { paused, note } }): ScheduleUpdateOptions => ({
          ...options,
          state: { paused, note },
        }));
    }
  }
}
