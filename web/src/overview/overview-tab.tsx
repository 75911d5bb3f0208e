import { isOpenAttempt } from '../../../domain/machines';
import type { PromotionView } from '../../../domain/schemas';
import { Link } from 'wouter';
import { useOpenPromotions } from '../api';
import { Badge } from '../badge';
import { elapsed } from '../format';
import { Targets } from '../targets';
import { Figures } from './figures';
import { Needs } from './needs';

/** What needs somebody now, what runs now, and what each target has. */
export function OverviewTab() {
  const promotions = useOpenPromotions().data?.items ?? [];
  return (
    <div className="overview">
      <Needs promotions={promotions} />
      <RunsNow promotions={promotions} />
      <Figures />
      <div>
        <h2>Targets</h2>
        <Targets />
      </div>
    </div>
  );
}

function RunsNow({ promotions }: { promotions: PromotionView[] }) {
  const open = promotions.flatMap((p) => p.deployments.filter(isOpenAttempt).map((d) => ({ p, d })));
  return (
    <section aria-labelledby="runs-title" className="card">
      <h2 id="runs-title">Runs now</h2>
      {open.length === 0 && <p className="muted">No deployment is running or waiting.</p>}
      <ul className="needs">
        {open.map(({ p, d }) => (
          <li key={d.key}>
            <Link href={`/promotions/${p.key}`}>{d.key}</Link> {p.title} to {d.target}{' '}
            <Badge machine="deployment" state={d.status} />{' '}
            <span className="muted">
              {d.waitingFor
                ? `waits for ${d.waitingFor}`
                : `${d.steps.at(-1)?.name ?? ''} ${elapsed(d.startedAt, null)}`}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
