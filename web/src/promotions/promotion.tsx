import { useState } from 'react';
import { isOpenAttempt } from '../../../domain/machines';
import { useChangeRequest, usePromotion, useTargets, useWindow } from '../api';
import { Badge } from '../badge';
import { bytes, short } from '../format';
import { Time } from '../time';
import { Actions } from './actions';
import { Attempt } from './attempt';
import { ChangeFacts } from './change';

/** One promotion: what it is, what can be done with it, and its attempts. */
export function Promotion({ promotionKey }: { promotionKey: string }) {
  const promotion = usePromotion(promotionKey);
  const change = useChangeRequest(promotionKey.replace('CP', 'RFC')).data;
  const window = useWindow(promotionKey).data;
  const target = useTargets().data?.items.find(({ name }) => name === promotion.data?.target);
  const [picked, pick] = useState<string>();
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
        <Badge machine="promotion" state={p.status} />
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
        {change && <ChangeFacts change={change} target={p.target} window={window} />}
        <dt>Backup</dt>
        <dd>
          {p.backup ? (
            <>
              <code>{p.backup.reference}</code> {bytes(p.backup.bytes)}, sha256 {short(p.backup.sha256)},
              verified <Time at={p.backup.verifiedAt} />
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
