import { useState } from 'react';
import { Link } from 'wouter';
import type { EpicView } from '../../../domain/backlog/schemas';
import { AddForm } from '../add-form';
import { useEpics } from '../api';
import { useStand, useWrite } from '../backlog/queries';
import { day } from '../format';
import { differing, FormEnd, Opens } from '../forms';

/** Epics with what their items make of them; each opens its items. */
export function EpicsTab() {
  const epics = useEpics();
  const items = epics.data?.items ?? [];
  return (
    <section aria-label="Epics">
      <AddForm what="epic" add={(api, as, title) => api.write('/epics', { title }, as)} />
      {epics.isSuccess && items.length === 0 && (
        <p className="empty">
          There is no epic yet. Add one above, or with "npx signalbox epic add "Checkout" --target
          2026-12-24".
        </p>
      )}
      {epics.isPending && <p className="muted">Reading the epics ...</p>}
      <ul className="epics">
        {items.map((epic) => (
          <li key={epic.key}>
            <Epic epic={epic} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Epic({ epic }: { epic: EpicView }) {
  const { progress: p } = epic;
  const shares = (['done', 'in-progress', 'open', 'deferred'] as const).filter(
    (status) => p.byStatus[status]! > 0,
  );
  return (
    <article className="epic">
      <header className="row">
        <h2>
          <Link data-row href={`/backlog?epic=${epic.key}`}>
            {epic.key} · {epic.title}
          </Link>
        </h2>
        <span className="muted">
          {epic.owner ?? 'nobody owns it'}
          {epic.targetDate && <>, until {day(epic.targetDate)}</>}
        </span>
        {epic.overdue && <strong className="warning">overdue</strong>}
      </header>
      <div
        className="progress"
        role="progressbar"
        aria-label={`${epic.title}: items done`}
        aria-valuenow={p.done}
        aria-valuemin={0}
        aria-valuemax={p.total}
        aria-valuetext={`${p.done} of ${p.total} done, ${p.percent} %`}
      >
        {shares.map((status) => (
          <span key={status} className={`share ${status}`} style={{ flexGrow: p.byStatus[status] }} />
        ))}
      </div>
      <p>
        <strong>{p.percent} %</strong>: {p.done} of {p.total} done
        {shares.map((status) => (
          <span key={status}>
            {' · '}
            <Link href={`/backlog?epic=${epic.key}&status=${status}`}>
              {p.byStatus[status]} {status}
            </Link>
          </span>
        ))}
        {p.blocked > 0 && (
          <>
            {' · '}
            <Link href={`/backlog?epic=${epic.key}&blocked=true`} className="warning">
              {p.blocked} blocked
            </Link>
          </>
        )}
        {p.overdue > 0 && (
          <>
            {' · '}
            <Link href={`/backlog?epic=${epic.key}&overdue=true`} className="warning">
              {p.overdue} overdue
            </Link>
          </>
        )}
      </p>
      {epic.outcome && <p className="muted">{epic.outcome}</p>}
      <Edit epic={epic} />
    </article>
  );
}

/** Changed where it stands; what somebody else changed meanwhile is not written over before it was seen. */
function Edit({ epic }: { epic: EpicView }) {
  const stand = useStand();
  // As it was when one began to change it.
  const [begun, begin] = useState<EpicView>();
  const save = useWrite<{ changes: object; seen: number }>((api, as, { changes, seen }) =>
    api.change(`/epics/${epic.key}`, changes, as, seen),
  );
  if (!begun)
    return (
      <span>
        <Opens stand={stand} className="plain" open={() => begin(epic)}>
          Change {epic.key} …
        </Opens>
      </span>
    );
  const close = () => {
    save.reset();
    begin(undefined);
  };
  return (
    <form
      className="fields"
      aria-label={`Change ${epic.key}`}
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const text = (name: string) => (form.get(name) as string).trim();
        const wanted = {
          title: text('title'),
          owner: text('owner') || null,
          targetDate: text('targetDate') || null,
          outcome: text('outcome'),
        };
        const changes = differing(wanted, begun);
        if (Object.keys(changes).length === 0) return close();
        // Once it was refused, what is there by then has been seen.
        const seen = save.isError ? epic.version : begun.version;
        save.mutate({ changes, seen }, { onSuccess: close });
      }}
    >
      <label>
        Title
        <input name="title" defaultValue={begun.title} required autoFocus />
      </label>
      <label>
        Owner
        <input name="owner" defaultValue={begun.owner ?? ''} />
      </label>
      <label>
        Until
        <input name="targetDate" type="date" defaultValue={begun.targetDate ?? ''} />
      </label>
      <label>
        What it is for
        <input name="outcome" defaultValue={begun.outcome} />
      </label>
      <FormEnd does="Save" stand={stand} pending={save.isPending} error={save.error} close={close} />
    </form>
  );
}
