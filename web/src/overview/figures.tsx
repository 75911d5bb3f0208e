import { Link, useParams } from 'wouter';
import { useQuery } from '@tanstack/react-query';
import type { CountedView, DeliveryMetricsView } from '../../../domain/schemas';
import { useAddress } from '../address';
import { usePolled, useTargets, useApi } from '../api';
import { count, lasting, number, percent } from '../format';
import { Time } from '../time';
import { Refusal } from '../refusal';

/** DORA's five figures with their course; each opens the deployments that it is made of. */
type Figure = DeliveryMetricsView['figures'][number];
const periods = [7, 30, 90, 365];

export function Figures() {
  const { key: opened } = useParams<{ key?: string }>();
  const [search, set] = useAddress();
  const targets = useTargets().data?.items ?? [];
  const days = periods.find((n) => String(n) === search.get('days')) ?? 30;
  const target = search.get('target') ?? '';
  const asked = `days=${days}${target && `&target=${encodeURIComponent(target)}`}`;
  const { data, error } = usePolled<DeliveryMetricsView>(
    ['delivery-metrics', asked],
    `/delivery-metrics?${asked}`,
  );
  const figure = data?.figures.find(({ name }) => name === opened);
  return (
    <section aria-labelledby="figures-title" className="figures-part">
      <header className="row">
        <h2 id="figures-title">How delivery goes</h2>
        <label className="row">
          Over
          <select value={days} onChange={(event) => set({ days: event.target.value })}>
            {periods.map((n) => (
              <option key={n} value={n}>
                {n} days
              </option>
            ))}
          </select>
        </label>
        <label className="row">
          On
          <select value={target} onChange={(event) => set({ target: event.target.value })}>
            <option value="">every target</option>
            {targets.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </header>
      <Refusal error={!data && error} />
      <ul className="figures">
        {data?.figures.map((one) => (
          <li key={one.name}>
            <Link
              href={`/overview/${one.name === opened ? '' : one.name}?${search}`}
              className="card figure"
              title={one.means}
              aria-current={one.name === opened ? 'true' : undefined}
            >
              <span className="muted">{one.title}</span>
              <strong>{shown(one, one.value)}</strong>
              <Course of={one} />
              <span className="muted">
                {one.before === null ? 'nothing to compare with' : `${shown(one, one.before)} before`}
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {figure && <Counted key={figure.name} figure={figure} asked={asked} search={search.toString()} />}
    </section>
  );
}

function shown({ unit }: Pick<Figure, 'unit'>, value: number | null): string {
  if (value === null) return 'none';
  if (unit === 'ms') return lasting(value);
  return unit === 'share' ? percent(value) : `${number(value)} a day`;
}

const [width, height] = [120, 28];
/** The course of a figure, as a line with gaps where there is nothing to make it of; one point is no course. */
function Course({ of: { series, counted, unit } }: { of: Figure }) {
  const known = series.filter((value) => (unit === 'per-day' ? value : value !== null));
  if (known.length < 2) return <span className="course muted">{count(counted, 'deployment')}</span>;
  const most = Math.max(...series.map((value) => value ?? 0)) || 1;
  const at = (value: number, n: number) =>
    `${((n / (series.length - 1)) * width).toFixed(1)} ${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`;
  const runs: string[][] = [[]];
  series.forEach((value, n) => {
    if (value === null) runs.push([]);
    else runs.at(-1)!.push(at(value, n));
  });
  return (
    <svg viewBox={`0 0 ${width} ${height}`} className="course" aria-hidden="true">
      {runs
        .filter((run) => run.length > 0)
        .map((run) => (
          // A point alone is a line of no length with round ends.
          <path
            key={run[0]}
            className={run.length === 1 ? 'point' : undefined}
            d={`M${run.join('L')}${run.length === 1 ? 'h0.01' : ''}`}
          />
        ))}
    </svg>
  );
}

/** The deployments behind a figure. */
function Counted(props: { figure: Figure; asked: string; search: string }) {
  const { figure, asked, search } = props;
  const api = useApi();
  const { data, error } = useQuery({
    queryKey: ['delivery-metrics', figure.name, asked],
    queryFn: () => api.read<CountedView>(`/delivery-metrics/${figure.name}?${asked}`),
  });
  return (
    <section aria-label={figure.title} className="card">
      <header className="row">
        <h3>{figure.title}</h3>
        <Link href={`/overview?${search}`} className="close">
          Close
        </Link>
      </header>
      <p className="muted">
        {figure.means} {data && data.total > 0 && `Made of ${data.total}.`}
      </p>
      <Refusal error={error} />
      {data?.total === 0 && (
        <p>
          There is none in this period. Deployments count once they have ended; ship one under Promotions.
        </p>
      )}
      {data && data.items.length > 0 && (
        <div className="scroll-x" role="region" aria-label="Deployments counted" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Deployment</th>
                <th scope="col">Target</th>
                <th scope="col">Ended</th>
                <th scope="col">Counts as</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((d) => (
                <tr key={d.key} data-row>
                  <td>
                    <Link href={`/promotions/${d.key}`}>{d.key}</Link> {d.title}
                  </td>
                  <td>{d.target}</td>
                  <td>
                    <Time at={d.endedAt} />
                  </td>
                  <td>{figure.unit === 'ms' ? `${lasting(d.value)}, ${d.says}` : d.says}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && data.total > data.items.length && (
        <p className="muted">
          The newest {data.items.length} of {data.total} are shown.
        </p>
      )}
    </section>
  );
}
