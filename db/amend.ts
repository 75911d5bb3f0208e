import { namedBy, textOf, type Observed } from '../domain/observed';
import { laneHolding, type DeploymentStatus } from '../domain/machines';
import { recordAudit } from './audit';
import type { Db } from './connect';
import { currentOf, deploymentById, NotOwner, rowKey } from './deployments';
import { raiseFence } from './fences';
import { knownIncarnation } from './installation';
import { signEnd, type Signer } from './signed';
import { bySignalbox, transition, tryTransition } from './transition';

/** What an attempt did to its target, as the target's own journal has it. */
export interface Act {
  at: string;
  fence: number;
  /** The step: swap, undo-swap, migrate. */
  step: string;
  /** Digests, of a switch. */
  from?: string | null;
  to?: string | null;
}
/** What has an undo, by which it is known whether there is something to undo. */
const recorded = ['migrate', 'swap'];
export interface Traces {
  /** What the target runs; left out when nobody could say. */
  live?: Observed;
  acts: Act[];
  /** Why nobody could tell what it did; then there are no acts. */
  unseen?: string;
}
export interface Amended {
  status: DeploymentStatus;
  /** Steps that began, by the record and by the target. */
  began: string[];
  /** Whether the target shows what the record had lost. */
  wentBack: boolean;
  /** Whether the database is another than the one in which it began, so that the record may have lost more. */
  doubtful: boolean;
}

const shown = 'the target shows that it was done; the record had lost it';

/** What was live before a switch, as the target's journal has it. */
const observedBy = ({ from = null }: Act): Observed => namedBy(from);

/**
 * Takes into the record what the target shows of an attempt and the record has lost, because the database was restored
 * or failed over in the middle of it: that it held the lane, what it made live, and what was live before.
 */
export async function amend(
  db: Db,
  keys: Signer,
  id: number,
  owner: string,
  seen: Traces,
  why: string,
): Promise<Amended> {
  return db.transaction(async (tx) => {
    const row = await deploymentById(tx, id);
    if (row.owner !== owner)
      throw new NotOwner(`${rowKey(row)} belongs to ${row.owner} now, not to ${owner}`);
    const steps = (await tx('deployment_steps').where({ deployment: id }).select('name', 'status')) as {
      name: string;
      status: string;
    }[];
    const began = new Set(steps.map(({ name }) => name));
    const forgotten = recorded.filter(
      (name) => !began.has(name) && seen.acts.some(({ step }) => step === name),
    );
    const doubtful = (await knownIncarnation(tx)) !== row.incarnation;
    // Open in the record of before its end.
    const last = seen.acts.findLast(({ to }) => to !== undefined);
    const isOpen = steps.some(({ name, status }) => name === last?.step && status === 'running');
    if (doubtful && isOpen && last?.step === 'swap' && seen.live && last.to === textOf(seen.live))
      await tx('deployment_steps')
        .where({ deployment: id, name: 'swap' })
        .update({
          status: 'done',
          detail: shown,
          fence: tx.raw('greatest(fence, ?)', [last.fence]),
          finished_at: last.at,
        });
    if (forgotten.length === 0) return { status: row.status, began: [...began], wentBack: false, doubtful };
    const swap = seen.acts.find(({ step, to }) => step === 'swap' && to !== undefined);
    const waited = row.status === 'queued' || row.status === 'waiting-for-window';
    const holder = await tx('deployments')
      .where({ target: row.target })
      .whereIn('status', laneHolding)
      .first();
    const move = bySignalbox(why, row.request_id);
    if (waited && !holder) {
      const current = await currentOf(tx, row.target);
      if (row.status === 'waiting-for-window') await transition(tx, 'deployment', id, 'queued', move);
      await transition(tx, 'deployment', id, 'running', move, {
        waiting_for: null,
        window_revision: null,
        fence: await raiseFence(tx, row.target),
        from_deployment: current?.id ?? null,
        from_release: swap?.from ?? null,
      });
      if (row.trigger !== 'rollback') {
        await tryTransition(tx, 'promotion', row.promotion, 'executing', move);
        await tryTransition(tx, 'changeRequest', row.promotion, 'in-progress', move);
      }
    }
    await tx('deployments')
      .where({ id })
      .update({
        to_release: row.to_release ?? swap?.to ?? null,
        // An undo returns to it.
        ...(swap && !row.observed ? { observed: JSON.stringify(observedBy(swap)) } : {}),
        migration_began: row.migration_began || forgotten.includes('migrate'),
      });
    for (const { step: name, at, fence } of seen.acts.filter(({ step }) => recorded.includes(step)))
      await tx('deployment_steps')
        .insert({
          deployment: id,
          name,
          status: 'done',
          detail: shown,
          round: 1,
          attempt: 1,
          fence,
          started_at: at,
          finished_at: at,
          signature: signEnd(
            keys,
            id,
            owner,
            { name, round: 1, attempt: 1, scheduled: null },
            { release: null, backup: null },
          ),
        })
        .onConflict(['deployment', 'name'])
        .ignore();
    await recordAudit(tx, {
      actor: 'signalbox',
      action: 'deployment.amended',
      subject: rowKey(row),
      why: `${row.target} shows that ${rowKey(row)} did what the record had lost: ${forgotten.join(', ')}. ${why}`,
      after: { live: seen.live ?? null, acts: seen.acts },
      request: row.request_id,
    });
    const { status } = await deploymentById(tx, id);
    return { status, began: [...new Set([...began, ...forgotten])], wentBack: true, doubtful };
  });
}
