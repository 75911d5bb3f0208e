import { useEffect, useRef } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { statesOf } from '../../../domain/machines';
import type { PromotionView } from '../../../domain/schemas';
import { useAddress, useAsked } from '../address';
import { useTargets } from '../api';
import { labelOf } from '../format';
import { More, useList } from '../list';
import { SearchField } from '../search-field';
import { Targets } from '../targets';
import { Promotion } from './promotion';
import { PromotionList } from './promotion-list';
import { ShipForm } from './ship-form';

/** What each target runs on top; promotions by target and status on the left, the chosen one, or the newest, beside. */
export function PromotionsTab() {
  const { key } = useParams<{ key?: string }>();
  const [, go] = useLocation();
  const asked = useAsked('q', 'target', 'status');
  const promotions = useList<PromotionView>('promotions', `/promotions?limit=50&${asked}`);
  const { items } = promotions;
  const chosen = (key ?? items[0]?.key)?.split('.')[0];
  const columns = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // What was chosen is shown, wherever one was.
    const shown = key && columns.current?.lastElementChild;
    if (!shown) return;
    const { top } = shown.getBoundingClientRect();
    if (top < 0 || top > innerHeight / 2) shown.scrollIntoView();
  }, [key]);
  // What was looked for in the log of one is not looked for in another's.
  const within = asked.size > 0 ? `?${asked}` : '';
  const choose = (promotion: string) => go(`/promotions/${promotion}${within}`);
  return (
    <>
      <Targets />
      <div ref={columns} className={key ? 'columns opened' : 'columns'}>
        {key && (
          <Link href={`/promotions${within}`} className="back">
            All promotions
          </Link>
        )}
        <section aria-label="Promotions" className="list">
          <ShipForm onShipped={choose} />
          <Filter />
          {promotions.error && items.length === 0 && <p className="refusal">{promotions.error.message}</p>}
          {promotions.isSuccess && items.length === 0 && (
            <p className="muted">{asked.size > 0 ? 'No promotion is like this.' : 'No promotions yet.'}</p>
          )}
          <PromotionList items={items} chosen={chosen} choose={choose} />
          <More list={promotions} />
        </section>
        {chosen ? (
          <Promotion key={chosen} promotionKey={chosen} attempt={key} pick={choose} />
        ) : (
          <section className="empty">
            {promotions.isPending
              ? 'Reading the promotions ...'
              : asked.size > 0
                ? 'Nothing is chosen.'
                : 'Nothing was shipped yet. Ship a revision on the left, or with "npx signalbox ship <target> <revision>".'}
          </section>
        )}
      </div>
    </>
  );
}

function Filter() {
  const [search, set] = useAddress();
  const targets = useTargets().data?.items ?? [];
  return (
    <form className="row narrow" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchField placeholder="words, or CP-12" />
      <label>
        Target
        <select value={search.get('target') ?? ''} onChange={(event) => set({ target: event.target.value })}>
          <option value="">any</option>
          {targets.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        Status
        <select value={search.get('status') ?? ''} onChange={(event) => set({ status: event.target.value })}>
          <option value="">any</option>
          {statesOf('promotion').map((state) => (
            <option key={state} value={state}>
              {labelOf('promotion', state)}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}
