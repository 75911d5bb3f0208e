import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/client';
import { sentences } from '../domain/sentences';
import { shown } from '../domain/windows/window';
import { databaseNow } from '../db/clock';
import {
  awakened,
  deploymentById,
  heldDeployments,
  hold,
  unaffected,
  type DeploymentRow,
} from '../db/deployments';
import { askedOf, starterOf } from '../db/standing';
import { windowRevision } from '../db/windows';
import { failpoint } from '../domain/failpoint';
import { windowChanged } from '../workflows/messages';
import type { Deps } from './deps';
import type { Plan } from './lifecycle';

export type HoldNews =
  | { open: true; deadline?: number }
  | {
      open: false;
      until: number | null;
      why: string;
      /** By the database's clock: until when it may hold, whether that is over, and after how many ms to look again. */
      deadline?: number;
      over?: boolean;
      left?: number;
    };
/** Default for attempts admitted by a version that did not plan it. */
const defaultHoldMs = 3_600_000;

/** What keeps those that wait for a window up to date. */
export function createWindowActivities(deps: Deps) {
  const { db, windows } = deps;
  return {
    /**
     * How the window stands for a deployment that holds before its migration or its swap; written into its row.
     * @param heldUntil the deadline that an earlier answer named; left out: it begins to hold.
     */
    async holdForWindow(
      plan: Plan,
      heldUntil?: number,
      what: 'migration' | 'swap' = 'swap',
    ): Promise<HoldNews> {
      const row = await deploymentById(db, plan.deployment);
      const promotion = { id: row.promotion, target: row.target };
      const {
        window: status,
        windowRevision: revision,
        now,
      } = (await askedOf(deps, db, promotion, starterOf(row)))!;
      // One deadline for the attempt, as its row has it; never later than from now on, whatever it is told.
      const latest = now + (plan.limits.windowHoldMs ?? defaultHoldMs);
      const deadline = row.hold_until?.getTime() ?? Math.min(heldUntil ?? latest, latest);
      if (!status || status.open) {
        await awakened(db, plan.deployment);
        return { open: true, deadline };
      }
      const until = status.nextOpen;
      const opens =
        until === null
          ? 'It does not open within a year'
          : `It opens ${shown(until, 'UTC')}${until <= deadline ? ', and then it goes on' : ''}`;
      await hold(
        db,
        plan.deployment,
        sentences(
          `its window, held before the ${what}: ${status.reason}`,
          opens,
          `It is undone if it is still closed at ${shown(deadline, 'UTC')}`,
        ),
        until === null ? null : new Date(until),
        new Date(deadline),
        revision,
      );
      await failpoint('hold/recorded-unreported');
      const over = now >= deadline;
      const left = Math.min(until ?? deadline, deadline) - now;
      return { open: false, until, why: status.reason, deadline, over, left };
    },

    /**
     * After a window was changed: works out anew until when each sleeper waits. Whose time is the same is only noted;
     * the others are woken and look for themselves.
     * @returns how many there were and how many were woken.
     */
    async wakeSleepers(): Promise<{ sleepers: number; woken: number }> {
      const revision = await windowRevision(db);
      const schedule = await windows.current();
      const now = await databaseNow(db);
      const stale = await heldDeployments(db, revision);
      const same: number[] = [];
      const changed: DeploymentRow[] = [];
      for (const row of stale) {
        const environment = deps.targets().get(row.target)?.environment ?? '';
        const status = schedule.status({ ...row.subject, environment }, now);
        const opens = status.open ? undefined : status.nextOpen;
        if (
          opens !== undefined &&
          opens === (row.scheduled_for?.getTime() ?? null) &&
          row.waiting_for?.includes(status.reason)
        )
          same.push(row.id);
        else changed.push(row);
      }
      await unaffected(db, same, revision);
      let woken = 0;
      const queue = [...changed];
      const wake = async () => {
        for (let row = queue.pop(); row; row = queue.pop()) {
          Context.current().heartbeat();
          await deps.temporal.workflow
            .getHandle(row.owner)
            .signal(windowChanged)
            .then(() => (woken += 1))
            .catch((thrown: unknown) => {
              if (!(thrown instanceof WorkflowNotFoundError)) throw thrown;
            });
        }
      };
      await Promise.all(Array.from({ length: 20 }, wake));
      if (stale.length > 0) deps.log.info({ revision, sleepers: stale.length, woken }, 'windows changed');
      return { sleepers: stale.length, woken };
    },
  };
}
