import { useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import type { EpicView } from '../../../domain/backlog/schemas';
import { useApi, useEpics } from '../api';
import { day } from '../format';
import { standFor, useMe } from '../me';

/** Epics with what their items make of them; each opens its items. */
export function EpicsTab() {
  const epics = useEpics();
  const items = epics.data?.items ?? [];
  return (
    <section aria-label="Epics">
      <NewEpic />
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
          <Link href={`/backlog?epic=${epic.key}`}>
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
    </article>
  );
}

function NewEpic() {
  const api = useApi();
  const queries = useQueryClient();
  const stand = standFor(useMe(), 'backlog');
  const [title, setTitle] = useState('');
  const add = useMutation({
    mutationFn: (asked: string) => api.write('/epics', { title: asked }, stand.can ? stand.as : undefined),
    onError: (_error, asked) => setTitle((typed) => typed || asked),
    onSettled: () => queries.invalidateQueries({ queryKey: ['epics'] }),
  });
  return (
    <form
      className="row add"
      onSubmit={(event) => {
        event.preventDefault();
        setTitle('');
        add.mutate(title);
      }}
    >
      <input
        aria-label="Title of a new epic"
        placeholder="A new epic"
        value={title}
        required
        onChange={(event) => setTitle(event.target.value)}
      />
      <button type="submit" disabled={!stand.can} title={stand.can ? undefined : stand.why}>
        Add{stand.can && stand.as ? ` as ${stand.as}` : ''}
      </button>
      {add.error && (
        <p role="alert" className="refusal">
          {add.error.message}
        </p>
      )}
    </form>
  );
}
