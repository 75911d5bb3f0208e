import { useParams } from 'wouter';
import { AddForm } from '../add-form';
import { useAddress } from '../address';
import { number } from '../format';
import { Board } from './board';
import { Filters, useFilter } from './filters';
import { ItemList } from './item-list';
import { ItemPanel } from './item-panel';
import { useTotals } from './queries';

/** The backlog: what is looked for on top, the items in their order, the chosen one beside them. */
export function BacklogTab() {
  const { key } = useParams<{ key?: string }>();
  const [filter] = useFilter();
  const [search, set] = useAddress();
  const board = search.get('view') === 'board';
  const totals = useTotals(filter);
  return (
    <>
      <Filters />
      <div className="row">
        <p className="muted totals" role="status">
          {totals
            ? `${number(totals.total)} item${totals.total === 1 ? '' : 's'}: ${number(totals.byStatus.open!)} open, ${number(totals.byStatus['in-progress']!)} in progress, ${number(totals.byStatus.done!)} done, ${number(totals.byStatus.deferred!)} deferred; ${number(totals.blocked)} blocked, ${number(totals.overdue)} overdue`
            : 'Counting ...'}
        </p>
        <label className="row">
          Shown as
          <select value={board ? 'board' : ''} onChange={({ target }) => set({ view: target.value })}>
            <option value="">a list</option>
            <option value="board">a board</option>
          </select>
        </label>
      </div>
      <div className={key ? 'columns with-panel' : 'columns'}>
        <section aria-label="Items" className="list">
          <NewItem />
          {board ? (
            <Board filter={filter} chosen={key} totals={totals} />
          ) : (
            <ItemList key={filter.toString()} filter={filter} chosen={key} total={totals?.total} />
          )}
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
