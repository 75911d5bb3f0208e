import { useEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { tabs } from './tabs';

/**
 * Keys that work on every tab. They act on what is there for everybody: "j" and "k" go through the rows of a list,
 * "/" into the search, "n" into the form that adds. Single letters can be switched off, as some speech input needs.
 */
const stored = 'signalbox.shortcuts';
const keys: [string, string][] = [
  ['?', 'This sheet'],
  ...tabs.map(({ letter, title }): [string, string] => [`g ${letter}`, title]),
  ['j', 'The next one in the list'],
  ['k', 'The one before'],
  ['/', 'Search'],
  ['n', 'Add a new one'],
  ['Escape', 'Close what is open'],
];

export function Shortcuts() {
  const [, go] = useLocation();
  const [open, setOpen] = useState(false);
  const [on, setOn] = useState(() => localStorage.getItem(stored) !== 'off');
  const waiting = useRef(0);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const typing = (event.target as Element).closest('input, textarea, select, [contenteditable]');
      if (event.ctrlKey || event.metaKey || event.altKey || typing || document.querySelector('dialog[open]'))
        return;
      if (event.key === '?') return setOpen(true);
      if (!on) return;
      const tab =
        Date.now() - waiting.current < 1_500 ? tabs.find(({ letter }) => letter === event.key) : undefined;
      waiting.current = event.key === 'g' ? Date.now() : 0;
      if (tab) return go(tab.path);
      const act = {
        j: () => step(1),
        k: () => step(-1),
        '/': () => focus('[role=search] input, input[type=search]'),
        n: () => focus('.add input') || press('[data-key=n]'),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [go, on]);
  if (!open)
    return (
      <button type="button" className="plain" aria-keyshortcuts="?" onClick={() => setOpen(true)}>
        Keys
      </button>
    );
  return (
    <dialog
      aria-label="Keyboard"
      ref={(dialog) => {
        if (dialog && !dialog.open) dialog.showModal();
      }}
      onClose={() => setOpen(false)}
    >
      <h2>Keyboard</h2>
      <dl className="facts">
        {keys.map(([key, does]) => (
          <div key={key} className="pair">
            <dt>
              {key.split(' ').map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <p className="muted">
        Everything else is reached by Tab. To move something by hand, focus its handle and press Space, then
        the arrow keys.
      </p>
      <label className="row">
        <input
          type="checkbox"
          checked={on}
          onChange={({ target }) => {
            setOn(target.checked);
            localStorage.setItem(stored, target.checked ? 'on' : 'off');
          }}
        />
        Single letters act
      </label>
      <form method="dialog">
        <button type="submit" className="primary">
          Close
        </button>
      </form>
    </dialog>
  );
}

const focus = (what: string): boolean => {
  const found = document.querySelector<HTMLElement>(what);
  found?.focus();
  return found !== null;
};
const press = (what: string) => document.querySelector<HTMLElement>(what)?.click();

/** Focuses the next row of the list that is shown: the links and buttons marked as rows. */
function step(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')].sort(
    (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top,
  );
  const active =
    document.activeElement?.closest('[data-row]') ?? document.querySelector('[data-row][aria-current=true]');
  const at = rows.indexOf(active as HTMLElement);
  const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}
