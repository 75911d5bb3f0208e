import { useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useApi, useTargets } from '../api';
import { FormEnd, Opens } from '../forms';
import { standFor, useMe } from '../shell/me';

/** Ships a revision to a target and submits its change request. */
export function ShipForm({ onShipped }: { onShipped: (key: string) => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const targets = useTargets().data?.items ?? [];
  const [open, setOpen] = useState(false);
  const [waiting, setWaiting] = useState('');
  const stand = standFor(useMe(), 'ship');
  const ship = useMutation({
    mutationFn: (form: FormData) => {
      const text = (name: string) => (form.get(name) as string).trim();
      const body = {
        target: text('target'),
        revision: text('revision'),
        title: text('title') || `${text('target')} ${text('revision')}`,
        submit: true,
      };
      return api.ship(body, stand.can ? stand.as : undefined, setWaiting);
    },
    onSettled: () => setWaiting(''),
    onSuccess: async (promotion) => {
      setOpen(false);
      onShipped(promotion.key);
      await queries.invalidateQueries();
    },
  });
  if (!open)
    return (
      <>
        <Opens stand={stand} className="wide" letter="n" open={() => setOpen(true)}>
          Ship a revision …
        </Opens>
        {ship.data?.accepted && (
          <p role="status" className="muted">
            {ship.data.accepted}
          </p>
        )}
      </>
    );
  return (
    <form
      className="ship"
      onSubmit={(event) => {
        event.preventDefault();
        ship.mutate(new FormData(event.currentTarget));
      }}
    >
      <label>
        Target
        <select name="target">
          {targets.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        Revision <input name="revision" required placeholder="tag, branch or commit" autoFocus />
      </label>
      <label>
        Title <input name="title" placeholder="what it brings" />
      </label>
      {waiting && <p role="status">{waiting}</p>}
      <FormEnd
        does="Ship and submit"
        stand={stand}
        pending={ship.isPending}
        error={ship.error}
        close={() => setOpen(false)}
      />
    </form>
  );
}
