import { useRef } from 'react';
import type { ItemView } from '../../../domain/backlog/schemas';
import type { ItemStatus } from '../../../domain/machines';
import { labelOf } from '../format';

/** To put an item off, and to open it again, a reason is asked for. */
export const needsReason = (from: ItemStatus, to: ItemStatus): boolean =>
  to === 'deferred' || from === 'done';

export function Why(props: {
  item: ItemView;
  to: ItemStatus;
  go: (reason: string) => void;
  close: () => void;
}) {
  const { item, to, go, close } = props;
  const reason = useRef<HTMLInputElement>(null);
  const label = labelOf('backlogItem', to);
  return (
    <dialog
      aria-label={`${item.key}: ${label}`}
      ref={(dialog) => {
        if (dialog && !dialog.open) dialog.showModal();
      }}
      onClose={close}
    >
      <h3>
        {item.key}: {label}
      </h3>
      <p>{item.title}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          go(reason.current!.value);
          close();
        }}
      >
        <label>
          Why
          <input ref={reason} required autoFocus />
        </label>
        <span className="row">
          <button type="submit" className="primary">
            {label}
          </button>
          <button type="button" onClick={close}>
            Put it back
          </button>
        </span>
      </form>
    </dialog>
  );
}
