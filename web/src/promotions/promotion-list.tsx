import { promotionReadsAs } from '../../../domain/reads-as';
import type { PromotionView } from '../../../domain/schemas';
import { Badge } from '../badge';

export function PromotionList(props: {
  items: PromotionView[];
  chosen: string | undefined;
  choose: (key: string) => void;
}) {
  return (
    <ul className="promotions">
      {props.items.map((p) => (
        <li key={p.key}>
          <button
            type="button"
            data-row
            aria-current={p.key === props.chosen ? 'true' : undefined}
            onClick={() => props.choose(p.key)}
          >
            <span className="row">
              <strong>{p.key}</strong>
              <Badge {...promotionReadsAs(p)} />
              {p.emergency && <span className="warning">emergency</span>}
              {p.live && <span className="live-mark">live</span>}
            </span>
            <span className="title">{p.title}</span>
            <span className="muted">
              {p.revision} to {p.target}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}
