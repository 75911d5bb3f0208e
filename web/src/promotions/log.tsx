import { useEffect, useRef, useState } from 'react';
import { errorIn, findFirstError, useApi, useLog, useLogFrom } from '../api';
import { time } from '../format';

/** Lines shown before the one that was jumped to. */
const before = 20;

/** The log, following its end until one scrolls up or jumps to the first error. Lines are text, never markup. */
export function Log({ deployment, running }: { deployment: string; running: boolean }) {
  const api = useApi();
  const end = useLog(deployment, running);
  const box = useRef<HTMLDivElement>(null);
  const [following, follow] = useState(true);
  const [jumpedTo, jumpTo] = useState<number>();
  const part = useLogFrom(deployment, jumpedTo === undefined ? undefined : Math.max(1, jumpedTo - before));
  const { lines, cut } = part ?? end;
  const firstError = cut ? undefined : errorIn(lines);
  const marked = jumpedTo ?? firstError?.seq;

  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [following, lines]);
  useEffect(() => {
    if (part) box.current?.querySelector('.first-error')?.scrollIntoView({ block: 'center' });
  }, [part]);

  const jump = async () => {
    follow(false);
    // Where lines are left out, the first error may be among those.
    const error = firstError ?? (await findFirstError(api, deployment));
    if (!firstError && error) return jumpTo(error.seq);
    box.current?.querySelector('.first-error')?.scrollIntoView({ block: 'center' });
  };
  const setFollowing = (on: boolean) => {
    follow(on);
    if (on) jumpTo(undefined);
  };
  return (
    <section aria-label="Log" className="log">
      <header>
        <h4>Log</h4>
        <span className="row">
          {(firstError ?? cut) && (
            <button type="button" className="plain" onClick={() => void jump()}>
              Jump to the first error
            </button>
          )}
          <label>
            <input
              type="checkbox"
              checked={following}
              onChange={({ target }) => setFollowing(target.checked)}
            />{' '}
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
        {cut && (
          <p className="muted">
            Lines {lines[0]?.seq} to {lines.at(-1)?.seq}; &quot;npx signalbox watch {deployment}&quot; prints
            them all.
          </p>
        )}
        {lines.length === 0 && <p className="muted">Nothing was written yet.</p>}
        {lines.map((line) => (
          <div
            key={line.seq}
            data-seq={line.seq}
            className={`line ${line.stream}${line.seq === marked ? ' first-error' : ''}`}
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
