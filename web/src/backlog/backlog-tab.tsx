import { useParams } from 'wouter';
import { AddForm } from '../add-form';
import { Filters, useFilter } from './filters';
import { ItemList } from './item-list';
import { ItemPanel } from './item-panel';
import { useTotals } from './queries';

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
  const [filter] = useFilter();
  // What is being looked at is what a new item is meant for.
  const epic = filter.get('epic');
  const more = epic && epic !== 'none' ? { epic } : {};
  return (
    <AddForm what="item" add={(api, as, title) => api.write('/backlog-items', { title, ...more }, as)} />
  );
}
