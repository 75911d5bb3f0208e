import type { AuditEntry } from '../../../domain/schemas';
import { useAddress } from '../address';
import { changed } from '../changed';
import { Keyed } from '../keyed';
import { More, useList } from '../list';
import { Time } from '../time';
import { Refusal } from '../refusal';

/** Who did what, newest first; what is looked for stands in the address. */
const filters = ['actor', 'action', 'subject'] as const;

export function AuditTab() {
  const [search, set] = useAddress();
  const query = new URLSearchParams({ limit: '100' });
  for (const name of filters) if (search.get(name)) query.set(name, search.get(name)!);
  const entries = useList<AuditEntry>('audit', `/audit?${query}`);
  const { items } = entries;
  return (
    <section aria-label="Audit" className="card">
      <form className="row filters" role="search" onSubmit={(event) => event.preventDefault()}>
        {filters.map((name) => (
          <label key={name}>
            {{ actor: 'Who', action: 'What', subject: 'Of' }[name]}
            <input
              defaultValue={search.get(name) ?? ''}
              placeholder={{ actor: 'rosa', action: 'deployment.', subject: 'CP-7' }[name]}
              onChange={(event) => set({ [name]: event.target.value.trim() }, true)}
            />
          </label>
        ))}
      </form>
      <Refusal error={entries.error} />
      {entries.isSuccess && items.length === 0 && (
        <p className="muted">Nothing like this was recorded. What is done shows here within a moment.</p>
      )}
      <div className="scroll-x" role="region" aria-label="Entries" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">Of</th>
              <th scope="col">Changed</th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            {items.map((entry) => (
              <tr key={entry.id} data-row tabIndex={-1}>
                <td>
                  <Time at={entry.at} />
                </td>
                <td>{entry.actor}</td>
                <td>{entry.action}</td>
                <td>
                  <Keyed text={entry.subject} />
                </td>
                <td>
                  <Keyed text={changed(entry)} />
                </td>
                <td>
                  <Keyed text={entry.why ?? ''} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <More list={entries} />
    </section>
  );
}
