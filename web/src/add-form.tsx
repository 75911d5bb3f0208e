import { useState } from 'react';
import { useStand, useWrite } from './backlog/queries';
import type { Api } from './api';
import { Refusal } from './refusal';

/** Adds something of the backlog by its title. */
export function AddForm(props: {
  /** Such as "item". */
  what: string;
  add(api: Api, as: string | undefined, title: string): Promise<unknown>;
}) {
  const stand = useStand();
  const [title, setTitle] = useState('');
  const add = useWrite(props.add);
  return (
    <form
      className="row add"
      onSubmit={(event) => {
        event.preventDefault();
        // Empty at once for the next one; what was refused comes back, unless something was typed meanwhile.
        setTitle('');
        add.mutate(title, { onError: () => setTitle((typed) => typed || title) });
      }}
    >
      <input
        aria-label={`Title of a new ${props.what}`}
        placeholder={`A new ${props.what}`}
        value={title}
        required
        onChange={(event) => setTitle(event.target.value)}
      />
      <button type="submit" disabled={!stand.can} title={stand.can ? undefined : stand.why}>
        Add{stand.can && stand.as ? ` as ${stand.as}` : ''}
      </button>
      <Refusal error={add.error} />
    </form>
  );
}
