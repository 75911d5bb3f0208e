import { useState } from 'react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { ChangeRequestView, OverrideView, WindowStatusView, WindowView } from '../../../domain/schemas';
import { useApi, type Page } from '../api';
import { FormEnd, Opens } from '../forms';
import { Keyed } from '../keyed';
import { standFor, useMe } from '../shell/me';
import { Time } from '../time';

/** Passing a window with one change: asked for by one release manager, seconded by another, good until it expires. */
export function Overrides(props: {
  change: ChangeRequestView;
  target: string;
  window: WindowStatusView | undefined;
}) {
  const { change, target, window } = props;
  const open = ['submitted', 'approved'].includes(change.status);
  return (
    <>
      <ul className="notes">
        {change.overrides.map((override) => (
          <li key={override.id}>
            <Override override={override} target={target} />
          </li>
        ))}
      </ul>
      {open && window?.open === false && <Ask change={change} target={target} window={window} />}
    </>
  );
}

function useSend() {
  const api = useApi();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ path, body, as }: { path: string; body: object; as: string | undefined }) =>
      api.write(path, body, as),
    onSettled: () => queries.invalidateQueries(),
  });
}

function Override({ override: o, target }: { override: OverrideView; target: string }) {
  const me = useMe();
  const send = useSend();
  const stand = standFor(me, 'windows', target);
  const post = (verb: 'second' | 'revoke') =>
    send.mutate({
      path: `/window-overrides/${o.id}/${verb}`,
      body: {},
      as: stand.can ? stand.as : undefined,
    });
  const as = stand.can && stand.as ? ` as ${stand.as}` : '';
  return (
    <>
      {o.window.name}:{' '}
      {
        {
          asked: 'waits for a second release manager',
          'in-force': 'in force',
          expired: 'has run out',
          revoked: 'taken back',
        }[o.status]
      }
      ; asked for by {o.requestedBy}
      {o.secondedBy && `, seconded by ${o.secondedBy}`}, until <Time at={o.expiresAt} />: <q>{o.reason}</q>{' '}
      {o.status === 'asked' && (
        <button type="button" disabled={!stand.can || send.isPending} onClick={() => post('second')}>
          Agree{as}
        </button>
      )}{' '}
      {(o.status === 'asked' || o.status === 'in-force') && (
        <button type="button" disabled={!stand.can || send.isPending} onClick={() => post('revoke')}>
          Take it back{as}
        </button>
      )}
      {send.error && (
        <span role="alert" className="refusal">
          {' '}
          Refused: <Keyed text={send.error.message} />
        </span>
      )}
    </>
  );
}

function Ask(props: { change: ChangeRequestView; target: string; window: WindowStatusView }) {
  const { change, target, window } = props;
  const api = useApi();
  const send = useSend();
  const stand = standFor(useMe(), 'windows', target);
  const [asking, ask] = useState(false);
  const { data } = useQuery({
    queryKey: ['deployment-window', 'all'],
    queryFn: () => api.read<Page<WindowView>>('/deployment-windows?limit=200'),
    enabled: asking,
  });
  const closing = data?.items.filter(({ name }) => window.windows.includes(name)) ?? [];
  if (!asking)
    return (
      <Opens stand={stand} open={() => ask(true)}>
        Pass the window with this change …
      </Opens>
    );
  return (
    <form
      className="ship"
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        send.mutate(
          {
            path: `/deployment-windows/${form.get('window') as string}/overrides`,
            body: {
              promotion: change.promotion,
              reason: form.get('reason'),
              expiresAt: new Date(Date.now() + Number(form.get('hours')) * 3_600_000).toISOString(),
            },
            as: stand.can ? stand.as : undefined,
          },
          { onSuccess: () => ask(false) },
        );
      }}
    >
      <p className="muted">
        Another release manager has to agree, who did not ship it; afterwards it is reviewed by an approver.
      </p>
      <label>
        Window
        <select name="window" required>
          {closing.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        Good for (hours)
        <input name="hours" type="number" min={1} max={720} defaultValue={4} required />
      </label>
      <label>
        Why
        <input name="reason" required />
      </label>
      <FormEnd
        does="Ask"
        stand={stand}
        pending={send.isPending}
        error={send.error}
        close={() => ask(false)}
        off={closing.length === 0}
      />
    </form>
  );
}
