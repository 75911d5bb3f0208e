import { useDeferredValue } from 'react';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import type { PreviewView } from '../../../domain/schemas';
import { useApi } from '../api';
import { dateTime } from '../format';

/** When it would occur, and what it would hold that is free to go now. @param body of the window as it would be written. */
export function Preview({ body: now, replaces }: { body: object; replaces: number | undefined }) {
  const api = useApi();
  const body = useDeferredValue(JSON.stringify(now));
  const { data, error } = useQuery({
    queryKey: ['window-preview', body, replaces],
    queryFn: () =>
      api.ask<PreviewView>(
        `/deployment-windows/preview${replaces === undefined ? '' : `?replaces=${replaces}`}`,
        JSON.parse(body) as object,
      ),
    placeholderData: (before) => before,
  });
  if (error) return <p className="refusal">{error.message}</p>;
  if (!data) return <p className="muted">Looking what it would hold ...</p>;
  const [first, ...later] = data.occurrences;
  return (
    <section aria-label="Preview" className="part" role="status">
      <h3>What it would do</h3>
      <p>
        {first
          ? `It lasts from ${dateTime(first.start)} to ${dateTime(first.end)}${later[0] ? `, and next from ${dateTime(later[0].start)}` : ''}.`
          : 'It does not occur within a year.'}
      </p>
      {data.holds.length === 0 ? (
        <p>It holds nothing that could go now.</p>
      ) : (
        <>
          <p className="warning">
            It holds {data.holds.length === 1 ? 'one' : data.holds.length} that could go without it:
          </p>
          <ul className="notes">
            {data.holds.map((held) => (
              <li key={held.key}>
                <Link href={`/promotions/${held.key.split('.')[0]}`}>{held.key}</Link> {held.title} to{' '}
                {held.target}
                {held.nextOpen ? `, until ${dateTime(held.nextOpen)}` : '; it would not open within a year'}
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}
