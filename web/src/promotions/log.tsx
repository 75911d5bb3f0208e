import { useEffect, useRef, useState } from 'react';
import { useLog } from '../api';
import { time } from '../format';

/** The log, following its end until one scrolls up. Lines are text, never markup. */
export function Log({ deployment, running }: { deployment: string; running: boolean }) {
  const { lines, dropped } = useLog(deployment, running);
  const box = useRef<HTMLDivElement>(null);
  const [following, follow] = useState(true);
  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [following, lines]);
  // What a program wrote as an error, else what a step said when it failed.
  const firstError =
    lines.find(({ stream }) => stream === 'err') ??
    lines.find(({ stream, text }) => stream === 'note' && /failed|Unhealthy/.test(text));
  const jump = () => {
    follow(false);
    box.current?.querySelector(`[data-seq="${firstError?.seq}"]`)?.scrollIntoView({ block: 'center' });
  };
  return (
    <section aria-label="Log" className="log">
      <header>
        <h4>Log</h4>
        <span className="row">
          {firstError && (
            <button type="button" className="plain" onClick={jump}>
              Jump to the first error
            </button>
          )}
          <label>
            <input type="checkbox" checked={following} onChange={(event) => follow(event.target.checked)} />{' '}
            follow
          </label>
        </span>
      </header>
      <div
        ref={box}
        className="lines"
        tabIndex={0}
        onScroll={({ currentTarget: c }) => {
          const atEnd = c.scrollHeight - c.scrollTop - c.clientHeight < 24;
          if (!atEnd && following) follow(false);
        }}
      >
        {dropped && (
          <p className="muted">
            The newest lines are shown; "npx signalbox watch {deployment}" prints them all.
          </p>
        )}
        {lines.length === 0 && <p className="muted">Nothing was written yet.</p>}
        {lines.map((line) => (
          <div
            key={line.seq}
            data-seq={line.seq}
            className={`line ${line.stream}${line === firstError ? ' first-error' : ''}`}
          >
            <span className="seq">{line.seq}</span>
            <time dateTime={line.at} title={line.at}>
              {time(line.at)}
            </time>
            <span className="step-name">{line.step}</span>
            <span className="text">{line.text}</span>
          </div>
        ))}
      </div>
    </section>
  );
}
