import { useLocation, useParams } from 'wouter';
import { usePromotions } from '../api';
import { Targets } from '../targets';
import { Promotion } from './promotion';
import { PromotionList } from './promotion-list';
import { ShipForm } from './ship-form';

/** What each target runs on top, promotions on the left, the chosen one, or the newest, on the right. */
export function PromotionsTab() {
  const { key } = useParams<{ key?: string }>();
  const [, go] = useLocation();
  const promotions = usePromotions();
  const items = promotions.data?.items ?? [];
  const chosen = key ?? items[0]?.key;
  const choose = (promotion: string) => go(`/promotions/${promotion}`);
  return (
    <>
      <Targets />
      <div className="columns">
        <section aria-label="Promotions" className="list">
          <ShipForm onShipped={choose} />
          <PromotionList items={items} loaded={promotions.isSuccess} chosen={chosen} choose={choose} />
        </section>
        {chosen ? (
          <Promotion key={chosen} promotionKey={chosen} />
        ) : (
          <section className="empty">
            {promotions.isSuccess
              ? 'Nothing was shipped yet. Ship a revision on the left, or with "npx signalbox ship <target> <revision>".'
              : 'Reading the promotions ...'}
          </section>
        )}
      </div>
    </>
  );
}
