import { Fragment } from 'react';
import { Link } from 'wouter';
import { keyKinds, keyNumber, placeOf } from '../../domain/places';

/** A text of the server in which the keys it names are links. */
const keys = new RegExp(`\\b((?:${keyKinds.join('|')})-${keyNumber})\\b`);

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
