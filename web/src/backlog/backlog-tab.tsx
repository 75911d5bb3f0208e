import { useState } from 'react';
import { useParams } from 'wouter';
import { Filters, useFilter } from './filters';
import { ItemList } from './item-list';
import { ItemPanel } from './item-panel';
import { useStand, useTotals, useWrite } from './queries';

/** The backlog: what is looked for on top, the items in their order, the chosen one beside them. */
export function BacklogTab() {
  const { key } = useParams<{ key?: string }>();
  const [filter] = useFilter();
  const totals = useTotals(filter);
  return (
    <>
      <Filters />
      <p className="muted totals" role="status">
        {totals
          ? `${totals.total} item${totals.total === 1 ? '' : 's'}: ${totals.byStatus.open} open, ${totals.byStatus['in-progress']} in progress, ${totals.byStatus.done} done, ${totals.byStatus.deferred} deferred; ${totals.blocked} blocked, ${totals.overdue} overdue`
          : 'Counting ...'}
      </p>
      <div className={key ? 'columns with-panel' : 'columns'}>
        <section aria-label="Items" className="list">
          <NewItem />
          <ItemList filter={filter} chosen={key} total={totals?.total} />
        </section>
        {key && <ItemPanel key={key} itemKey={key} />}
      </div>
    </>
  );
}

function NewItem() {
  const stand = useStand();
  const [filter] = useFilter();
  const [title, setTitle] = useState('');
  // What is being looked at is what a new item is meant for.
  const epic = filter.get('epic');
  const add = useWrite<string>((api, as, asked) =>
    api.write('/backlog-items', { title: asked, ...(epic && epic !== 'none' ? { epic } : {}) }, as),
  );
  return (
    <form
      className="row add"
      onSubmit={(event) => {
        event.preventDefault();
        // Empty at once for the next one; what was refused comes back, unless something was typed meanwhile.
        setTitle('');
        add.mutate(title, { onError: () => setTitle((typed) => typed || title) });
      }}
    >
      <input
        aria-label="Title of a new item"
        placeholder="A new item"
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
