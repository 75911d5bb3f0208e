import { Keyed } from './keyed';

/** Why something was not done or could not be read, with the keys it names as links; nothing where all went well. */
export const Refusal = (props: {
  error: Error | null | undefined | false;
  /** What became of it, such as "It was put back: ". */
  first?: string;
}) =>
  props.error ? (
    <p role="alert" className="refusal">
      {props.first}
      <Keyed text={props.error.message} />
    </p>
  ) : null;
