import { Fragment } from 'react';
import { Link } from 'wouter';

/** A text of the server in which the keys it names are links. */
const keys = /\b((?:ITEM|EPIC|CP|RFC)-[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,4})?)\b/;

export const Keyed = ({ text }: { text: string }) => (
  <>
    {text.split(keys).map((part, n) =>
      // Every other part is what stands between two keys.
      n % 2 === 1 ? (
        <Link key={n} href={placeOf(part)}>
          {part}
        </Link>
      ) : (
        <Fragment key={n}>{part}</Fragment>
      ),
    )}
  </>
);

/** Where a key is shown. */
export function placeOf(key: string): string {
  const [whole] = key.split('.');
  const tab = {
    ITEM: 'backlog',
    EPIC: 'backlog?epic=',
    CP: 'promotions',
    RFC: 'change-requests',
  }[key.split('-')[0]!]!;
  if (tab === 'promotions') return `/promotions/${key}`;
  return tab.endsWith('=') ? `/${tab}${whole}` : `/${tab}/${whole}`;
}
