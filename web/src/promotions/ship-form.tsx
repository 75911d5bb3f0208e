import { useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { PromotionView } from '../../../domain/schemas';
import { useApi, useTargets } from '../api';
import { standFor, useMe } from '../shell/me';

/** Ships a revision to a target and submits its change request. */
export function ShipForm({ onShipped }: { onShipped: (key: string) => void }) {
  const api = useApi();
  const queries = useQueryClient();
  const targets = useTargets().data?.items ?? [];
  const [open, setOpen] = useState(false);
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
      return api.write<PromotionView>('/promotions', body, stand.can ? stand.as : undefined);
    },
    onSuccess: async (promotion) => {
      setOpen(false);
      onShipped(promotion.key);
      await queries.invalidateQueries();
    },
  });
  if (!open)
    return (
      <button
        type="button"
        className="wide"
        data-key="n"
        disabled={!stand.can}
        title={stand.can ? undefined : stand.why}
        onClick={() => setOpen(true)}
      >
        Ship a revision …
      </button>
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
      {ship.error && (
        <p role="alert" className="refusal">
          {ship.error.message}
        </p>
      )}
      <span className="row">
        <button type="submit" className="primary" disabled={ship.isPending}>
          {ship.isPending ? 'Shipping …' : `Ship and submit${stand.can && stand.as ? ` as ${stand.as}` : ''}`}
        </button>
        <button type="button" onClick={() => setOpen(false)}>
          Not now
        </button>
      </span>
    </form>
  );
}
