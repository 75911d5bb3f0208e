import { sorts } from '../../../domain/backlog/item';
import { priorities, statesOf } from '../../../domain/machines';
import { useAddress } from '../address';
import { useEpics } from '../api';
import { SearchField } from '../search-field';
import { labelOf } from '../format';

/** What is looked for stands in the address, so that a link and the back button work. */
const names = [
  'q',
  'epic',
  'status',
  'priority',
  'owner',
  'label',
  'blocked',
  'overdue',
  'dueBefore',
  'sort',
] as const;
type Name = (typeof names)[number];

/** The filter in the address, in the API's words. */
export function useFilter(): [URLSearchParams, (name: Name, value: string) => void, () => void] {
  const [search, change] = useAddress();
  const filter = new URLSearchParams();
  for (const name of names) for (const value of search.getAll(name)) if (value) filter.append(name, value);
  // A word being typed makes one entry of the history, not one for each letter.
  const set = (name: Name, value: string) =>
    change({ [name]: value, at: '' }, ['q', 'owner', 'label'].includes(name) && filter.has(name));
  return [filter, set, () => change(Object.fromEntries([...names, 'at'].map((name) => [name, ''])))];
}

/** On a phone the filter is folded away. */
const wide = matchMedia('(min-width: 50rem)').matches;

export function Filters() {
  const [filter, set, clear] = useFilter();
  const epics = useEpics().data?.items ?? [];
  const text = (name: Name, label: string, placeholder: string, type = 'text') => (
    <label>
      {label}
      <input
        type={type}
        value={filter.get(name) ?? ''}
        placeholder={placeholder}
        onChange={(event) => set(name, event.target.value)}
      />
    </label>
  );
  const choice = (name: Name, label: string, options: [string, string][]) => (
    <label>
      {label}
      <select value={filter.get(name) ?? ''} onChange={(event) => set(name, event.target.value)}>
        {options.map(([value, shown]) => (
          <option key={value} value={value}>
            {shown}
          </option>
        ))}
      </select>
    </label>
  );
  const any: [string, string] = ['', 'any'];
  return (
    <form className="row filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchField placeholder="words, or ITEM-12" />
      <details open={wide}>
        <summary>Filter</summary>
        <div className="row">
          {choice('epic', 'Epic', [
            any,
            ['none', 'none'],
            ...epics.map((e): [string, string] => [e.key, e.title]),
          ])}
          {choice('status', 'Status', [
            any,
            ...statesOf('backlogItem').map((s): [string, string] => [s, labelOf('backlogItem', s)]),
          ])}
          {choice('priority', 'Priority', [any, ...priorities.map((p): [string, string] => [p, p])])}
          {text('owner', 'Owner', 'a name, or none')}
          {text('label', 'Label', 'a label')}
          {choice('blocked', 'Blocked', [any, ['true', 'blocked'], ['false', 'not blocked']])}
          {choice('overdue', 'Due', [any, ['true', 'overdue'], ['false', 'not overdue']])}
          {text('dueBefore', 'Due before', '', 'date')}
          {choice(
            'sort',
            'Order',
            sorts.map((s): [string, string] => [
              s === 'rank' ? '' : s,
              { rank: 'rank', priority: 'priority', due: 'due date', updated: 'last change' }[s],
            ]),
          )}
        </div>
      </details>
      {filter.size > 0 && (
        <button type="button" className="plain" onClick={clear}>
          Clear
        </button>
      )}
    </form>
  );
}
