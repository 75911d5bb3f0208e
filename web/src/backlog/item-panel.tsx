import { useState, type ReactNode } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useSearch } from 'wouter';
import { priorities, rowOf, type ItemStatus } from '../../../domain/machines';
import { readsAs } from '../../../domain/reads-as';
import { useEpics, type Api } from '../api';
import { Badge } from '../badge';
import { changed } from '../changed';
import { day, labelOf, lasting } from '../format';
import { InPlace } from '../in-place';
import { Keyed } from '../keyed';
import { Markdown } from '../markdown';
import { Time } from '../time';
import { needsReason } from './why';
import { useHistory, useItem, useStand, useWrite, type Detail } from './queries';
import { Refusal } from '../refusal';

/** One item: changed in place; what blocks it, what carries it, where it runs, what became of it. */
export function ItemPanel({ itemKey }: { itemKey: string }) {
  const item = useItem(itemKey);
  const search = useSearch();
  if (!item.data)
    return <section className="empty">{item.error ? item.error.message : `Reading ${itemKey} ...`}</section>;
  const i = item.data;
  return (
    <section aria-label={i.key} className="panel">
      <header className="row">
        <h2>
          {i.key} · {i.title}
        </h2>
        <Badge machine="backlogItem" state={i.status} />
        <Link href={`/backlog${search && `?${search}`}`} className="close">
          Close
        </Link>
      </header>
      <Status item={i} />
      <Fields item={i} />
      {i.description && <Markdown html={i.descriptionHtml} />}
      <Blockers item={i} />
      {i.promotions.length > 0 && (
        <Part name="Delivery">
          <ul className="notes">
            {i.promotions.map((p) => (
              <li key={p.key}>
                <Link href={`/promotions/${p.key}`}>{p.key}</Link> {p.title} to {p.target}{' '}
                <Badge {...readsAs(p.status, p.attempt)} />
              </li>
            ))}
          </ul>
          <p>{i.runsOn.length > 0 ? `Runs on ${i.runsOn.join(', ')}.` : 'Runs nowhere yet.'}</p>
        </Part>
      )}
      {i.leadTimeMs !== null && (
        <p className="muted">
          Lead time {lasting(i.leadTimeMs)}
          {i.cycleTimeMs !== null && `, cycle time ${lasting(i.cycleTimeMs)}`}
        </p>
      )}
      <History itemKey={i.key} />
    </section>
  );
}

const Part = ({ name, children }: { name: string; children: ReactNode }) => (
  <section aria-label={name} className="part">
    <h3>{name}</h3>
    {children}
  </section>
);

const edit = (key: string) => (api: Api, as: string | undefined, body: object) =>
  api.change(`/backlog-items/${key}`, body, as);

/** Where it may go next; to put it off, and to open it again, a reason is asked for. */
function Status({ item }: { item: Detail }) {
  const stand = useStand();
  const [asking, ask] = useState<string>();
  const [reason, setReason] = useState('');
  const move = useWrite(edit(item.key));
  const go = (to: string) =>
    move.mutate(
      { status: to, ...(needsReason(item.status, to as ItemStatus) ? { reason } : {}) },
      {
        onSuccess: () => {
          ask(undefined);
          setReason('');
        },
      },
    );
  return (
    <div className="actions">
      {rowOf('backlogItem', item.status)!.to.map((to) => (
        <button
          key={to}
          type="button"
          disabled={!stand.can || move.isPending}
          title={stand.can ? undefined : stand.why}
          onClick={() => (needsReason(item.status, to as ItemStatus) ? ask(to) : go(to))}
        >
          {labelOf('backlogItem', to)}
          {needsReason(item.status, to as ItemStatus) && ' …'}
        </button>
      ))}
      {asking && (
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            go(asking);
          }}
        >
          <label>
            Why
            <input value={reason} required autoFocus onChange={(event) => setReason(event.target.value)} />
          </label>
          <button type="submit" className="primary">
            {labelOf('backlogItem', asking)}
          </button>
          <button type="button" onClick={() => ask(undefined)}>
            Not now
          </button>
        </form>
      )}
      <Refusal error={move.error} />
    </div>
  );
}

/** Each is written as soon as it is left, one after the other, to the item as it was seen. */
function Fields({ item }: { item: Detail }) {
  const stand = useStand();
  const queries = useQueryClient();
  const epics = useEpics().data?.items ?? [];
  const save = useWrite<{ change: object; version?: number }>((api, as, { change, version }) => {
    // By then what was saved before has been read again.
    const now = queries.getQueryData<Detail>(['item', item.key])?.version;
    return api.change(`/backlog-items/${item.key}`, change, as, version ?? now);
  }, item.key);
  const off = !stand.can;
  const set = (change: object, version?: number) => save.mutateAsync({ change, version });
  const choose = (change: object) => save.mutate({ change });
  const field = { version: item.version, disabled: off };
  return (
    <div className="fields">
      <InPlace
        label="Title"
        {...field}
        value={item.title}
        required
        save={(title, version) => set({ title }, version)}
      />
      <InPlace
        label="Owner"
        {...field}
        value={item.owner ?? ''}
        save={(owner, version) => set({ owner: owner || null }, version)}
      />
      <label>
        Priority
        <select
          value={item.priority}
          disabled={off}
          onChange={(event) => choose({ priority: event.target.value })}
        >
          {priorities.map((priority) => (
            <option key={priority}>{priority}</option>
          ))}
        </select>
      </label>
      <label>
        Epic
        <select
          value={item.epic ?? ''}
          disabled={off}
          onChange={(event) => choose({ epic: event.target.value || null })}
        >
          <option value="">none</option>
          {epics.map((epic) => (
            <option key={epic.key} value={epic.key}>
              {epic.title}
            </option>
          ))}
        </select>
      </label>
      <InPlace
        label="Due"
        {...field}
        type="date"
        value={item.dueDate ?? ''}
        save={(date, version) => set({ dueDate: date || null }, version)}
      />
      <InPlace
        label="Labels"
        className="labels"
        {...field}
        value={item.labels.join(', ')}
        placeholder="several: with commas between"
        save={(labels, version) => set({ labels: labelsIn(labels) }, version)}
      />
      {item.overdue && <p className="warning">Overdue since {day(item.dueDate!)}</p>}
      <Refusal first="It was left as it is: " error={save.error} />
    </div>
  );
}
const labelsIn = (text: string): string[] =>
  [...new Set(text.split(',').map((one) => one.trim()))].filter(Boolean);

function Blockers({ item }: { item: Detail }) {
  const stand = useStand();
  const open = item.blockers.filter(({ resolvedAt }) => resolvedAt === null);
  const over = item.blockers.filter(({ resolvedAt }) => resolvedAt !== null);
  const [raising, raise] = useState(false);
  const block = useWrite<object>((api, as, body) =>
    api.write(`/backlog-items/${item.key}/blockers`, body, as),
  );
  const resolve = useWrite<{ id: number; resolution: string }>((api, as, { id, resolution }) =>
    api.write(`/blockers/${id}/resolve`, { resolution }, as),
  );
  const error = block.error ?? resolve.error;
  return (
    <Part name="Blockers">
      {open.length === 0 && <p className="muted">Nothing blocks it.</p>}
      <ul className="notes">
        {open.map((b) => (
          <li key={b.id}>
            {b.blockedBy ? <Link href={`/backlog/${b.blockedBy}`}>{b.blockedBy}</Link> : 'Outside'}:{' '}
            <Keyed text={b.reason} />{' '}
            <span className="muted">
              raised by {b.raisedBy}, <Time at={b.raisedAt} />
            </span>
            <form
              className="row"
              onSubmit={(event) => {
                event.preventDefault();
                const resolution = new FormData(event.currentTarget).get('resolution') as string;
                resolve.mutate({ id: b.id, resolution });
              }}
            >
              <input
                name="resolution"
                aria-label="How it is resolved"
                placeholder="how"
                required
                disabled={!stand.can}
              />
              <button type="submit" disabled={!stand.can || resolve.isPending}>
                Resolve
              </button>
            </form>
          </li>
        ))}
        {over.map((b) => (
          <li key={b.id} className="muted">
            <Keyed
              text={`${b.blockedBy ?? 'Outside'}: ${b.reason}; resolved by ${b.resolvedBy}: ${b.resolution}`}
            />
          </li>
        ))}
      </ul>
      {raising ? (
        <form
          className="row"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            const by = (form.get('by') as string).trim().toUpperCase();
            block.mutate(
              { reason: form.get('reason'), ...(by ? { blockedBy: by } : {}) },
              { onSuccess: () => raise(false) },
            );
          }}
        >
          <label>
            By
            <input name="by" placeholder="ITEM-7, or empty: outside" autoFocus />
          </label>
          <label>
            Why
            <input name="reason" required />
          </label>
          <button type="submit" className="primary" disabled={block.isPending}>
            Raise
          </button>
          <button type="button" onClick={() => raise(false)}>
            Not now
          </button>
        </form>
      ) : (
        <button type="button" disabled={!stand.can || item.status === 'done'} onClick={() => raise(true)}>
          Raise a blocker …
        </button>
      )}
      <Refusal error={error} />
    </Part>
  );
}

function History({ itemKey }: { itemKey: string }) {
  // What was refused changed nothing; it stands in the audit trail.
  const entries = useHistory(itemKey).filter(({ action }) => action !== 'request.refused');
  return (
    <Part name="History">
      <ol className="history">
        {entries.map((entry) => (
          <li key={entry.id}>
            <span className="muted">
              <Time at={entry.at} /> {entry.actor}
            </span>{' '}
            {entry.action.replace('backlog-item.', '')} {changed(entry)}{' '}
            {entry.why && (
              <q>
                <Keyed text={entry.why} />
              </q>
            )}
          </li>
        ))}
      </ol>
    </Part>
  );
}
