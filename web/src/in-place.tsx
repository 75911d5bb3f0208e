import { useState } from 'react';

/** What is being typed into a field. */
interface Typed {
  text: string;
  /** What the field said when it was begun. */
  begun: string;
  /** The version that was on the page then; undefined: what was changed meanwhile has been seen. */
  version: number | undefined;
}

/**
 * A text that is changed where it stands: saved when it is left, or by Enter; Escape puts it back. What somebody else
 * saves meanwhile neither takes away what is being typed nor is written over before it was seen.
 */
export function InPlace(props: {
  label: string;
  className?: string;
  value: string;
  /** Of what the value belongs to. */
  version: number;
  /**
   * Rejects when it was refused: what was typed stays, and leaving it again saves it over what is there by then.
   * @param seen the version that is changed, and no other; undefined: the newest.
   */
  save: (next: string, seen: number | undefined) => Promise<unknown>;
  type?: 'text' | 'date';
  placeholder?: string;
  disabled: boolean;
  required?: boolean;
}) {
  const { value, version, save, required = false } = props;
  const [typed, type] = useState<Typed>();
  const leave = () => {
    const next = typed?.text.trim();
    if (!typed || next === value || (required && !next)) return type(undefined);
    // Another field that somebody changed is no reason to refuse this one.
    save(next!, typed.begun === value ? undefined : typed.version).then(
      () => type(undefined),
      () => type({ ...typed, version: undefined }),
    );
  };
  return (
    <>
      <label className={props.className}>
        {props.label}
        <input
          type={props.type ?? 'text'}
          value={typed?.text ?? value}
          placeholder={props.placeholder}
          disabled={props.disabled}
          required={required}
          onChange={({ target }) =>
            type({
              begun: typed?.begun ?? value,
              version: typed ? typed.version : version,
              text: target.value,
            })
          }
          onBlur={leave}
          onKeyDown={({ key, currentTarget }) => {
            if (key === 'Enter') currentTarget.blur();
            if (key === 'Escape') type(undefined);
          }}
        />
      </label>
      {typed && typed.begun !== value && (
        <small className="warning" role="status">
          Somebody changed it meanwhile to &quot;{value}&quot;; Escape takes that.
        </small>
      )}
    </>
  );
}
