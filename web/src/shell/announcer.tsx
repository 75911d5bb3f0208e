import { useEffect, useRef, useState } from 'react';
import type { PromotionView } from '../../../domain/schemas';
import { usePromotions } from '../api';
import { labelOf } from '../format';

/** Tells a screen reader, on every tab, how promotions and deployments move on. */
export function Announcer() {
  const promotions = usePromotions().data?.items;
  const before = useRef<Map<string, string>>(undefined);
  const [said, say] = useState('');
  useEffect(() => {
    if (!promotions) return;
    const now = statesIn(promotions);
    const moved = [...now].filter(([key, state]) => before.current && before.current.get(key) !== state);
    before.current = now;
    if (moved.length > 0) say(moved.map(([key, state]) => `${key}: ${state}`).join('. '));
  }, [promotions]);
  return (
    <p role="status" className="unseen">
      {said}
    </p>
  );
}

const statesIn = (promotions: PromotionView[]): Map<string, string> =>
  new Map(
    promotions.flatMap((p): [string, string][] => [
      [`${p.key} for ${p.target}`, labelOf('promotion', p.status)],
      ...p.deployments.map((d): [string, string] => [
        d.key,
        [labelOf('deployment', d.status), d.status === 'running' && d.steps.at(-1)?.name]
          .filter(Boolean)
          .join(', '),
      ]),
    ]),
  );
