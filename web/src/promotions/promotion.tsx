import { isOpenAttempt } from '../../../domain/machines';
import { promotionReadsAs } from '../../../domain/reads-as';
import type { ChangesView, PromotionView, TargetView } from '../../../domain/schemas';
import { useChangeRequest, useChanges, usePromotion, useTargets, useWindow } from '../api';
import { Badge } from '../badge';
import { bytes, count, short } from '../format';
import { Keyed } from '../keyed';
import { Time } from '../time';
import { Actions } from './actions';
import { Attempt } from './attempt';
import { ChangeFacts } from './change';

/** One promotion: what it is, what can be done with it, and its attempts. */
export function Promotion(props: {
  promotionKey: string;
  /** Key of the attempt that is shown; left out, or not there: the latest. */
  attempt: string | undefined;
  pick: (attempt: string) => void;
}) {
  const { promotionKey, attempt: picked, pick } = props;
  const promotion = usePromotion(promotionKey);
  const change = useChangeRequest(promotionKey.replace('CP', 'RFC')).data;
  const window = useWindow(promotionKey).data;
  const target = useTargets().data?.items.find(({ name }) => name === promotion.data?.target);
  const p = promotion.data;
  if (!p)
    return (
      <section className="empty">
        {promotion.error ? promotion.error.message : `Reading ${promotionKey} ...`}
      </section>
    );
  const attempt = p.deployments.find(({ key }) => key === picked) ?? p.deployments.at(-1);
  const open = p.deployments.find(isOpenAttempt);
  return (
    <section aria-label={p.key} className="promotion">
      <header>
        <h2>
          {p.key} · {p.title}
        </h2>
        <Badge {...promotionReadsAs(p)} />
        {p.emergency && <span className="warning">emergency</span>}
        {p.live && <span className="live-mark">live on {p.target}</span>}
      </header>
      <dl className="facts">
        <dt>Revision</dt>
        <dd>
          {p.revision} <code title={p.commit}>{short(p.commit)}</code> to {p.target}
        </dd>
        <dt>Shipped</dt>
        <dd>
          by {p.shippedBy}, <Time at={p.shippedAt} />
        </dd>
        <dt>Release</dt>
        <dd>{p.release ? <code title={p.release}>{short(p.release)}</code> : 'not built yet'}</dd>
        {target && !p.live && isOpen(p) && <WouldChange promotion={p} target={target} />}
        {change && <ChangeFacts change={change} target={p.target} window={window} />}
        <dt>Backup</dt>
        <dd>
          {p.backup ? (
            <>
              <code>{p.backup.reference}</code> {bytes(p.backup.bytes)}, sha256 {short(p.backup.sha256)},
              verified <Time at={p.backup.verifiedAt} />
              {p.backup.removedAt && (
                <>
                  , removed <Time at={p.backup.removedAt} />, because it was old
                </>
              )}
            </>
          ) : (
            'none yet; one is made and verified before every swap'
          )}
        </dd>
      </dl>
      {change && target && (
        <Actions promotion={p} change={change} target={target} open={open} window={window} />
      )}
      {p.deployments.length > 1 && (
        <nav aria-label="Attempts" className="attempts">
          {p.deployments.map((d) => (
            <button
              key={d.key}
              type="button"
              aria-current={d.key === attempt?.key ? 'true' : undefined}
              onClick={() => pick(d.key)}
            >
              {d.key} {d.trigger} <Badge machine="deployment" state={d.status} />
            </button>
          ))}
        </nav>
      )}
      {attempt ? (
        <Attempt key={attempt.key} attempt={attempt} expectedMs={target?.expectedMs ?? {}} />
      ) : (
        <p className="muted">No deployment yet. Once it is approved, a release manager presses Deploy Now.</p>
      )}
    </section>
  );
}

/** Whether it can still come to be deployed. */
const isOpen = ({ status }: PromotionView) =>
  status === 'pending' || status === 'approved' || status === 'rolled-back' || status === 'rejected';

/** Against what the target runs now, which may be something else than when it was shipped. */
function WouldChange({ promotion: p, target }: { promotion: PromotionView; target: TargetView }) {
  const { data, error } = useChanges(p.key, target.current?.release, true);
  return (
    <>
      <dt>Changes</dt>
      <dd>
        {error && <span className="muted">It could not be compared with what runs: {error.message}</span>}
        {!error && !data && <span className="muted">comparing with what runs ...</span>}
        {data && (
          <details>
            <summary>
              {data.brings.length === 0 ? 'no commit' : count(data.brings.length, 'commit')},{' '}
              {count(data.files, 'file')}, {count(data.lines, 'line')}
              {data.since === null
                ? `: ${p.target} runs nothing yet`
                : ` since ${data.since}, which runs now`}
              {data.takesAway.length > 0 && (
                <strong className="warning"> · takes {count(data.takesAway.length, 'commit')} away</strong>
              )}
            </summary>
            <Commits of={data.brings} />
            {data.takesAway.length > 0 && (
              <>
                <p>What runs now and would not any more:</p>
                <Commits of={data.takesAway} />
              </>
            )}
          </details>
        )}
      </dd>
    </>
  );
}

const Commits = ({ of }: { of: ChangesView['brings'] }) => (
  <ul className="notes">
    {of.map((c) => (
      <li key={c.commit}>
        {short(c.commit)} <Keyed text={c.subject} /> ({c.author})
      </li>
    ))}
  </ul>
);
