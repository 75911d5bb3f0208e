import { useState } from 'react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useLocation, useSearchParams } from 'wouter';
import type { WindowView } from '../../../domain/schemas';
import { useApi } from '../api';
import { standFor, useMe } from '../shell/me';
import { dateTime } from '../format';
import { FormEnd, Opens } from '../forms';
import { WindowForm, type Fields } from './window-form';

/** A new window or freeze. */
export function NewWindow({ kind, zone, day }: { kind: Fields['kind']; zone: string; day: string }) {
  const what = kind === 'freeze' ? 'freeze' : 'window';
  const start: Fields = {
    name: '',
    kind,
    scope: {},
    start: `${day}T${kind === 'freeze' ? '00:00' : '20:00'}`,
    timeZone: zone,
    durationMinutes: kind === 'freeze' ? 1_440 : 120,
  };
  return (
    <Panel title={`New ${what}`}>
      <p className="muted">
        {kind === 'freeze'
          ? 'While a freeze lasts, normal changes are not deployed. Emergencies pass, with a reason.'
          : 'Where there is a window, normal changes are deployed inside of it alone. Emergencies pass, with a reason.'}
      </p>
      <WindowForm fields={start} save={(api, as, body) => api.write('/deployment-windows', body, as)} />
    </Panel>
  );
}

/** A window as it is, to be changed or removed. */
export function WindowPanel({ id }: { id: string }) {
  const api = useApi();
  const [round, setRound] = useState(0);
  const {
    data: window,
    error,
    isFetchedAfterMount,
  } = useQuery({
    queryKey: ['deployment-window', id],
    queryFn: () => api.read<WindowView>(`/deployment-windows/${id}`),
  });
  // What is changed here begins as it is now, not as it was when it was last open.
  if (!window || !isFetchedAfterMount)
    return (
      <Panel title="Window">
        <p className="muted">{error ? error.message : 'Reading the window ...'}</p>
      </Panel>
    );
  return (
    <Panel title={`${window.kind === 'freeze' ? 'Freeze' : 'Window'} · ${window.name}`}>
      <p className="muted">
        Made by {window.createdBy}, last changed {dateTime(window.updatedAt)}.
      </p>
      <WindowForm
        // What is being typed is not thrown away for what somebody else changed; it is refused when it is saved.
        key={round}
        again={() => setRound((n) => n + 1)}
        fields={window}
        version={window.version}
        replaces={window.id}
        save={(writer, as, body, version) => writer.change(`/deployment-windows/${id}`, body, as, version)}
      />
      <Remove window={window} />
    </Panel>
  );
}

function Remove({ window }: { window: WindowView }) {
  const api = useApi();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const stand = standFor(useMe(), 'windows', window.scope.target);
  const [asking, ask] = useState(false);
  const remove = useMutation({
    mutationFn: (reason: string) =>
      api.remove(
        `/deployment-windows/${window.id}`,
        reason ? { reason } : {},
        stand.can ? stand.as : undefined,
        window.version,
      ),
    async onSuccess() {
      go('/calendar');
      await queries.invalidateQueries();
    },
  });
  if (!asking)
    return (
      <Opens stand={stand} open={() => ask(true)}>
        Remove …
      </Opens>
    );
  return (
    <form
      className="row"
      onSubmit={(event) => {
        event.preventDefault();
        remove.mutate((new FormData(event.currentTarget).get('reason') as string).trim());
      }}
    >
      <label>
        Why (optional)
        <input name="reason" autoFocus />
      </label>
      <FormEnd
        does="Remove"
        stand={stand}
        pending={remove.isPending}
        error={remove.error}
        close={() => ask(false)}
      />
    </form>
  );
}

function Panel({ title, children }: { title: string; children: React.ReactNode }) {
  const [search] = useSearchParams();
  return (
    <section aria-label={title} className="panel">
      <header className="row">
        <h2>{title}</h2>
        <Link href={`/calendar${search.size > 0 ? `?${search}` : ''}`} className="close">
          Close
        </Link>
      </header>
      {children}
    </section>
  );
}
