import { Link } from 'wouter';
import type { DeploymentView } from '../../domain/schemas';
import { useTargets } from './api';
import { Badge } from './badge';
import { short } from './format';
import { Time } from './time';
import { WindowState } from './promotions/change';

/** What each target runs now. */
export function Targets({ latest }: { latest?: (target: string) => DeploymentView | undefined }) {
  const { data } = useTargets();
  return (
    <section aria-label="Targets" className="targets">
      {data?.items.map((target) => (
        <article key={target.name} className="target">
          <h2>
            {target.name} <small>{target.environment}</small>
          </h2>
          {target.current ? (
            <p>
              runs <strong>{target.current.revision}</strong> from {target.current.promotion}{' '}
              <code title={target.current.release}>{short(target.current.release)}</code>
            </p>
          ) : (
            <p>has no release yet</p>
          )}
          <p>
            <WindowState status={target.window} />
          </p>
          {latest && <Latest of={latest(target.name)} />}
          <p className="muted">
            {target.lane ? `${target.lane} holds the lane` : 'lane free'}
            {target.promotionsEnabled ? '' : ` · promotions are off: ${target.promotionsDisabledReason}`}
          </p>
        </article>
      ))}
    </section>
  );
}

/** How the last deployment ended. */
const Latest = ({ of: d }: { of: DeploymentView | undefined }) =>
  d && (
    <p>
      <Link href={`/promotions/${d.promotion}`}>{d.key}</Link> <Badge machine="deployment" state={d.status} />{' '}
      <span className="muted">
        <Time at={d.finishedAt!} />
      </span>
    </p>
  );
