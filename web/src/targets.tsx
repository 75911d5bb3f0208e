import { Link } from 'wouter';
import type { TargetView } from '../../domain/schemas';
import { useTargets } from './api';
import { Badge } from './badge';
import { short } from './format';
import { Time } from './time';
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
            <p>{target.observed ? `runs ${target.observed.what}` : 'has no release'}</p>
          )}
          {target.observed && (
            <p className="warning">
              {target.observed.why}
              {target.observed.at && (
                <>
                  {' '}
                  (seen <Time at={target.observed.at} />)
                </>
              )}
            </p>
          )}
          <p>
            <WindowState status={target.window} />
          </p>
          <Health of={target} />
          <Latest of={target.lastDeployment} />
          <Runners of={target.runners} />
          <Sandboxes of={target.sandboxes} />
          <p className="muted">
            {target.lane ? `${target.lane} holds the lane` : 'lane free'}
            {target.promotionsEnabled ? '' : ` · promotions are off: ${target.promotionsDisabledReason}`}
          </p>
        </article>
      ))}
    </section>
  );
}

/** What the last check found. */
const Health = ({ of: { health, current } }: { of: TargetView }) =>
  health &&
  current && (
    <p>
      <strong className={health.healthy ? 'open' : 'closed'}>
        {health.healthy ? 'healthy' : 'unhealthy'}
      </strong>{' '}
      <span className="muted" title={health.detail}>
        when last checked, <Time at={health.at} />
      </span>
    </p>
  );

/** Who does its steps on its own host, and whether they were heard of lately. */
const Runners = ({ of: runners }: { of: TargetView['runners'] }) =>
  runners && (
    <p>
      {runners.length === 0 && (
        <strong className="closed">no runner was ever heard of; nothing is deployed until one is</strong>
      )}
      {runners.map(({ id, host, seenAt }) => {
        const away = Date.now() - Date.parse(seenAt) > awayMs;
        return (
          <span key={id}>
            runner <code title={id}>{host}</code>{' '}
            <strong className={away ? 'closed' : 'open'}>{away ? 'away' : 'there'}</strong>{' '}
            <span className="muted">
              last seen <Time at={seenAt} />{' '}
            </span>
          </span>
        );
      })}
    </p>
  );
/** A runner says every ten seconds that it is there. */
const awayMs = 35_000;

/** What each host that does its steps keeps builds in. */
const Sandboxes = ({ of: sandboxes }: { of: TargetView['sandboxes'] }) =>
  sandboxes.map(({ host, kind, said }) => (
    <p key={host} className={kind === 'none' ? 'warning' : 'muted'}>
      On {host}: {said}
    </p>
  ));

/** How the last deployment ended. */
const Latest = ({ of: last }: { of: TargetView['lastDeployment'] }) =>
  last && (
    <p>
      <Link href={`/promotions/${last.key.split('.')[0]}`}>{last.key}</Link>{' '}
      <Badge machine="deployment" state={last.status} />{' '}
      <span className="muted">
        <Time at={last.finishedAt} />
      </span>
    </p>
  );
