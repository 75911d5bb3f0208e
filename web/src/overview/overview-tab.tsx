import { Link } from 'wouter';
import { useOpenDeployments } from '../api';
import { Badge } from '../badge';
import { elapsed, number } from '../format';
import { Targets } from '../targets';
import { Figures } from './figures';
import { Needs } from './needs';

/** What needs somebody now, what runs now, and what each target has. */
export function OverviewTab() {
  return (
    <div className="overview">
      <Needs />
      <RunsNow />
      <Figures />
      <div>
        <h2>Targets</h2>
        <Targets />
      </div>
    </div>
  );
}

function RunsNow() {
  const { data } = useOpenDeployments();
  const open = data?.items ?? [];
  const left = (data?.total ?? open.length) - open.length;
  return (
    <section aria-labelledby="runs-title" className="card">
      <h2 id="runs-title">Runs now</h2>
      {open.length === 0 && <p className="muted">No deployment is running or waiting.</p>}
      <ul className="needs">
        {open.map((d) => (
          <li key={d.key}>
            <Link href={`/promotions/${d.key}`}>{d.key}</Link> {d.emergency && <strong>Emergency </strong>}
            {d.title} to {d.target} <Badge machine="deployment" state={d.status} />{' '}
            <span className="muted">
              {d.waitingFor
                ? `waits for ${d.waitingFor}`
                : `${d.steps.at(-1)?.name ?? ''} ${elapsed(d.startedAt, null)}`}
            </span>
          </li>
        ))}
      </ul>
      {left > 0 && <p className="muted">And {number(left)} more.</p>}
    </section>
  );
}
