import type { ReactNode } from 'react';
import type { Stand } from './shell/me';
import { Refusal } from './refusal';

/** Opens a form, where one may; says why not. */
export const Opens = (props: {
  stand: Stand;
  open: () => void;
  className?: string;
  /** Pressed as a key it opens it too. */
  letter?: string;
  children: ReactNode;
}) => (
  <button
    type="button"
    className={props.className}
    data-key={props.letter}
    disabled={!props.stand.can}
    title={props.stand.can ? undefined : props.stand.why}
    onClick={props.open}
  >
    {props.children}
  </button>
);

/** The end of a form: why it was refused, the button that sends it and says as whom, and one that closes it. */
export function FormEnd(props: {
  /** What the button does, such as "Save". */
  does: string;
  stand: Stand;
  pending: boolean;
  error: Error | null;
  close: () => void;
  /** Why it can not be sent yet. */
  off?: boolean;
}) {
  const { does, stand, pending, error, close, off = false } = props;
  return (
    <>
      <Refusal error={error} />
      <span className="row">
        <button type="submit" className="primary" disabled={!stand.can || pending || off}>
          {pending ? 'Sending …' : `${does}${stand.can && stand.as ? ` as ${stand.as}` : ''}`}
        </button>
        <button type="button" onClick={close}>
          Not now
        </button>
      </span>
    </>
  );
}

/** What of a form differs from what stood there when it was begun: what others changed of the rest stays theirs. */
export const differing = <T extends object>(wanted: T, begun: { [Name in keyof T]: unknown }): Partial<T> =>
  Object.fromEntries(
    Object.entries(wanted).filter(([name, value]) => value !== begun[name as keyof T]),
  ) as Partial<T>;
