import { useEffect, useRef, useState } from 'react';
import { promotionReadsAs } from '../../../domain/reads-as';
import type { PromotionView } from '../../../domain/schemas';
import { useApi, useOpenPromotions } from '../api';
import { labelOf } from '../format';

/**
 * Tells a screen reader, on every tab, how promotions and deployments move on. What is no longer open is read once
 * more, for how it ended.
 */
export function Announcer() {
  const api = useApi();
  const open = useOpenPromotions().data?.items;
  const before = useRef<PromotionView[]>(undefined);
  const [said, say] = useState('');
  useEffect(() => {
    if (!open) return;
    const known = before.current;
    before.current = open;
    if (!known) return;
    const tell = (promotions: PromotionView[]) => {
      const was = statesIn(known);
      const moved = [...statesIn(promotions)].filter(([key, state]) => was.get(key) !== state);
      if (moved.length > 0) say(moved.map(([key, state]) => `${key}: ${state}`).join('. '));
    };
    const gone = known.filter(({ key }) => !open.some((one) => one.key === key));
    if (gone.length === 0) return tell(open);
    void Promise.all(gone.map(({ key }) => api.read<PromotionView>(`/promotions/${key}`))).then(
      (ended) => tell([...ended, ...open]),
      () => tell(open),
    );
  }, [api, open]);
  return (
    <p role="status" className="unseen">
      {said}
    </p>
  );
}

const statesIn = (promotions: PromotionView[]): Map<string, string> =>
  new Map(
    promotions.flatMap((p): [string, string][] => {
      const { machine, state } = promotionReadsAs(p);
      return [
        [`${p.key} for ${p.target}`, labelOf(machine, state)],
        ...p.deployments.map((d): [string, string] => [
          d.key,
          [labelOf('deployment', d.status), d.status === 'running' && d.steps.at(-1)?.name]
            .filter(Boolean)
            .join(', '),
        ]),
      ];
    }),
  );
