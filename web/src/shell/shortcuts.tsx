import { useEffect, useRef, useState } from 'react';
import { useLocation } from 'wouter';
import { tabs } from './tabs';

/**
 * Keys that work wherever there is something for them, and the sheet names no others. They act on what is there for everybody: "j" and "k" go through the rows of a list,
 * "/" into the search, "n" into the form that adds. Single letters can be switched off, as some speech input needs.
 */
const stored = 'signalbox.shortcuts';
const rows = '[data-row]';
const search = '[role=search] input, input[type=search]';
const adds = '.add input, [data-key=n]';
const closes = 'a.close';
/** Each key, what it does, and, of those that a tab may lack, what it acts on. */
const keys: [key: string, does: string, on?: string][] = [
  ['?', 'This sheet'],
  ...tabs.map(({ letter, title }): [string, string] => [`g ${letter}`, title]),
  ['j', 'The next one in the list', rows],
  ['k', 'The one before', rows],
  ['/', 'Search', search],
  ['n', 'Add a new one', adds],
  ['Escape', 'Close what is open', closes],
];

export function Shortcuts() {
  const [, go] = useLocation();
  const [open, setOpen] = useState(false);
  const [on, setOn] = useState(() => localStorage.getItem(stored) !== 'off');
  const waiting = useRef(0);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const typing = (event.target as Element).closest('input, textarea, select, [contenteditable]');
      // Whoever is moving something by hand has heard it already.
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (typing || document.querySelector('dialog[open]')) return;
      if (event.key === '?') return setOpen(true);
      if (!on) return;
      const tab =
        Date.now() - waiting.current < 1_500 ? tabs.find(({ letter }) => letter === event.key) : undefined;
      waiting.current = event.key === 'g' ? Date.now() : 0;
      if (tab) return go(tab.path);
      const act = {
        j: () => step(1),
        k: () => step(-1),
        '/': () => find(search)?.focus(),
        n: () => (find(adds) instanceof HTMLInputElement ? find(adds)?.focus() : find(adds)?.click()),
        Escape: () => find(closes)?.click(),
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
        {keys
          .filter(([, , on]) => !on || find(on))
          .map(([key, does]) => (
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

const find = (what: string) => document.querySelector<HTMLElement>(what);

/** Focuses the next row of the list that is shown, or what it leads to. */
function step(by: 1 | -1): void {
  const all = [...document.querySelectorAll<HTMLElement>(rows)].sort(
    (a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top,
  );
  const active = document.activeElement?.closest<HTMLElement>(rows) ?? find(`${rows}[aria-current=true]`);
  const at = active ? all.indexOf(active) : -1;
  const next = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))];
  const leads = next?.matches('a, button') ? next : next?.querySelector<HTMLElement>('a, button');
  (leads ?? next)?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}
