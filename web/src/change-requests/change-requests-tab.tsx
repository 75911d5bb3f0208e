import { useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from 'wouter';
import { isOpenAttempt, risks, statesOf } from '../../../domain/machines';
import type { ChangeRequestView } from '../../../domain/schemas';
import { useAddress, useAsked } from '../address';
import { useApi, useChangeRequest, usePromotion, useTargets, useWindow } from '../api';
import { Badge } from '../badge';
import { labelOf } from '../format';
import { differing, FormEnd, Opens } from '../forms';
import { Keyed } from '../keyed';
import { Markdown } from '../markdown';
import { More, useList } from '../list';
import { SearchField } from '../search-field';
import { standFor, useMe } from '../shell/me';
import { Actions } from '../promotions/actions';
import { ChangeFacts } from '../promotions/change';
import { Time } from '../time';

/** Change requests: by status on the left, the chosen one, or the newest, with its whole course on the right. */
export function ChangeRequestsTab() {
  const { key } = useParams<{ key?: string }>();
  const [search, set] = useAddress();
  const status = search.get('status') ?? '';
  const asked = useAsked('q', 'status').toString();
  const requests = useList<ChangeRequestView>('change-requests', `/change-requests?limit=50&${asked}`);
  const { items } = requests;
  const chosen = key ?? items[0]?.key;
  return (
    <div className={key ? 'columns opened' : 'columns'}>
      {key && (
        <Link href={`/change-requests${asked && `?${asked}`}`} className="back">
          All change requests
        </Link>
      )}
      <section aria-label="Change requests" className="list">
        <SearchField placeholder="words, or RFC-12" />
        <label>
          Status
          <select value={status} onChange={(event) => set({ status: event.target.value })}>
            <option value="">any</option>
            {statesOf('changeRequest').map((state) => (
              <option key={state} value={state}>
                {labelOf('changeRequest', state)}
              </option>
            ))}
          </select>
        </label>
        {requests.isSuccess && items.length === 0 && (
          <p className="muted">
            {asked
              ? 'No change request is like this.'
              : 'There is none yet: shipping a revision makes one, under Promotions or with "npx signalbox ship <target> <revision>".'}
          </p>
        )}
        <ul className="promotions">
          {items.map((request) => (
            <li key={request.key}>
              <Link
                href={`/change-requests/${request.key}${asked && `?${asked}`}`}
                className="choice"
                data-row
                aria-current={request.key === chosen ? 'true' : undefined}
              >
                <span className="row">
                  <strong>{request.key}</strong>
                  <Badge machine="changeRequest" state={request.status} />
                  {request.type === 'emergency' && <span className="warning">emergency</span>}
                  {request.review?.overdue && <span className="warning">review overdue</span>}
                </span>
                <span className="title">{request.title}</span>
                <span className="muted">
                  {request.risk} risk, by {request.requester}
                </span>
              </Link>
            </li>
          ))}
        </ul>
        <More list={requests} />
      </section>
      {chosen ? (
        <ChangeRequest key={chosen} requestKey={chosen} />
      ) : (
        <section className="empty">
          {requests.isPending ? 'Reading the requests ...' : 'Nothing is chosen.'}
        </section>
      )}
    </div>
  );
}

function ChangeRequest({ requestKey }: { requestKey: string }) {
  const change = useChangeRequest(requestKey);
  const promotionKey = requestKey.replace('RFC', 'CP');
  const promotion = usePromotion(promotionKey).data;
  const window = useWindow(promotionKey).data;
  const target = useTargets().data?.items.find(({ name }) => name === promotion?.target);
  const c = change.data;
  if (!c)
    return (
      <section className="empty">{change.error ? change.error.message : `Reading ${requestKey} ...`}</section>
    );
  const open = promotion?.deployments.find(isOpenAttempt);
  return (
    <section aria-label={c.key} className="promotion">
      <header>
        <h2>
          {c.key} · {c.title}
        </h2>
        <Badge machine="changeRequest" state={c.status} />
        <Link href={`/promotions/${c.promotion}`}>{c.promotion}</Link>
      </header>
      {c.description && <Markdown html={c.descriptionHtml} />}
      <dl className="facts">
        <ChangeFacts change={c} target={promotion?.target ?? ''} window={window} />
      </dl>
      {promotion && target && (
        <Actions promotion={promotion} change={c} target={target} open={open} window={window} />
      )}
      {promotion && ['draft', 'submitted', 'approved'].includes(c.status) && (
        <Edit change={c} target={promotion.target} />
      )}
      {c.decisions.length + c.unheard.length > 0 && (
        <section aria-label="Decisions" className="part">
          <h3>Decisions</h3>
          <ol className="history">
            {c.decisions.map((d) => (
              <li key={d.id}>
                <span className="muted">
                  <Time at={d.at} /> submission {d.submission}
                </span>{' '}
                {d.approver}: {d.decision}
                {d.comment && (
                  <>
                    {' '}
                    <q>
                      <Keyed text={d.comment} />
                    </q>
                  </>
                )}
                {!d.counted && <span className="warning"> not counted: {d.refusal}</span>}
              </li>
            ))}
            {c.unheard.map((d) => (
              <li key={`${d.saidAt} ${d.approver}`}>
                <span className="muted">
                  <Time at={d.saidAt} />
                </span>{' '}
                {d.approver}: {d.decision} <span className="warning"> {d.outcome}</span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </section>
  );
}

/** What it says may be changed until it is in progress; what was approved before is void then. */
function Edit({ change: c, target }: { change: ChangeRequestView; target: string }) {
  const api = useApi();
  const queries = useQueryClient();
  const stand = standFor(useMe(), 'edit-change', target);
  // As it was when one began to change it.
  const [begun, begin] = useState<ChangeRequestView>();
  const save = useMutation({
    mutationFn: ({ changes, seen }: { changes: object; seen: number }) =>
      api.change<{ voided: string[] }>(
        `/change-requests/${c.key}`,
        changes,
        stand.can ? stand.as : undefined,
        seen,
      ),
    onSuccess: () => queries.invalidateQueries(),
  });
  if (!begun)
    return (
      <Opens stand={stand} open={() => begin(c)}>
        Change what it says …
      </Opens>
    );
  const close = () => {
    save.reset();
    begin(undefined);
  };
  return (
    <form
      className="ship"
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const text = (name: string) => (form.get(name) as string).trim();
        const wanted = {
          title: text('title'),
          description: text('description'),
          risk: text('risk'),
          riskReason: text('riskReason') || null,
          rollbackPlan: text('rollbackPlan'),
          backupPlan: text('backupPlan'),
        };
        const changes = differing(wanted, begun);
        if (Object.keys(changes).length === 0) return close();
        // What somebody changed meanwhile is not written over before it was seen; once refused, it was.
        const seen = save.isError ? c.version : begun.version;
        save.mutate({ changes, seen }, { onSuccess: close });
      }}
    >
      {c.approvals.given.length > 0 && (
        <p className="warning">This voids the approval of {c.approvals.given.join(', ')}.</p>
      )}
      <label>
        Title <input name="title" defaultValue={begun.title} required />
      </label>
      <label>
        Description <textarea name="description" defaultValue={begun.description} rows={3} />
      </label>
      <label>
        Risk
        <select name="risk" defaultValue={begun.risk}>
          {risks.map((risk) => (
            <option key={risk}>{risk}</option>
          ))}
        </select>
      </label>
      <label>
        Why it is lower than the rules say <input name="riskReason" defaultValue={begun.riskReason ?? ''} />
      </label>
      <label>
        Rollback plan <textarea name="rollbackPlan" defaultValue={begun.rollbackPlan} rows={2} />
      </label>
      <label>
        Backup plan <textarea name="backupPlan" defaultValue={begun.backupPlan} rows={2} />
      </label>
      <FormEnd does="Save" stand={stand} pending={save.isPending} error={save.error} close={close} />
    </form>
  );
}
