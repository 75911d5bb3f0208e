import { useTargets } from './api';
import { short } from './format';
import { WindowState } from './promotions/change';

/** What each target runs now. */
export function Targets() {
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
          <p className="muted">
            {target.lane ? `${target.lane} holds the lane` : 'lane free'}
            {target.promotionsEnabled ? '' : ` · promotions are off: ${target.promotionsDisabledReason}`}
          </p>
        </article>
      ))}
    </section>
  );
}
