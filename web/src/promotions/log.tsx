import { useDeferredValue, useEffect, useRef, useState } from 'react';
import { useAddress } from '../address';
import { errorIn, findFirstError, useApi, useLog, useLogFrom, useLogWith } from '../api';
import { Coloured } from '../coloured';
import { time } from '../format';

/** Lines shown before the one that was jumped to. */
const before = 20;

/** The log, following its end until one scrolls up or jumps to the first error. Lines are text, never markup. */
export function Log({ deployment, running }: { deployment: string; running: boolean }) {
  const api = useApi();
  const end = useLog(deployment, running);
  const box = useRef<HTMLDivElement>(null);
  const [search, set] = useAddress();
  const sought = search.get('log') ?? '';
  const seek = (text: string) => set({ log: text, line: '' }, sought !== '');
  const line = Number(search.get('line'));
  const jumpedTo = Number.isInteger(line) && line > 0 ? line : undefined;
  const jumpTo = (to: number | undefined) => set({ log: '', line: to === undefined ? '' : String(to) });
  const [following, follow] = useState(jumpedTo === undefined);
  const found = useLogWith(deployment, useDeferredValue(sought.trim()), running);
  const [problem, setProblem] = useState('');
  const part = useLogFrom(deployment, jumpedTo === undefined ? undefined : Math.max(1, jumpedTo - before));
  const { lines, cut } = found ?? part ?? end;
  const firstError = cut || found ? undefined : errorIn(lines);
  const marked = jumpedTo ?? firstError?.seq;

  useEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [following, lines]);
  useEffect(() => {
    if (part) box.current?.querySelector('.first-error')?.scrollIntoView({ block: 'center' });
  }, [part]);

  const jump = async () => {
    follow(false);
    if (sought) seek('');
    // Where lines are left out, the first error may be among those.
    const error = firstError ?? (await findFirstError(api, deployment));
    if (!firstError && error) return jumpTo(error.seq);
    box.current?.querySelector('.first-error')?.scrollIntoView({ block: 'center' });
  };
  const setFollowing = (on: boolean) => {
    follow(on);
    if (on && jumpedTo !== undefined) jumpTo(undefined);
  };
  return (
    <section aria-label="Log" className="log">
      <header>
        <h4>Log</h4>
        <span className="row">
          <label>
            Search
            <input
              type="search"
              value={sought}
              placeholder="text in a line"
              onChange={({ target }) => seek(target.value)}
            />
          </label>
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
          <button
            type="button"
            className="plain"
            onClick={() => {
              setProblem('');
              api
                .download(`/deployments/${deployment}/log.txt`, `${deployment}.log`)
                .catch((thrown: Error) => setProblem(thrown.message));
            }}
          >
            Download
          </button>
        </span>
      </header>
      {problem && (
        <p role="alert" className="refusal">
          {problem}
        </p>
      )}
      {found && (
        <p className="muted" role="status">
          {found.cut ? 'The newest 500' : lines.length} {lines.length === 1 ? 'line has' : 'lines have'} this
          text. Choose a number to see what is around it.
        </p>
      )}
      <div
        ref={box}
        className="lines"
        tabIndex={0}
        onScroll={({ currentTarget: c }) => {
          const atEnd = c.scrollHeight - c.scrollTop - c.clientHeight < 24;
          if (!atEnd && following) follow(false);
        }}
      >
        {cut && !found && (
          <p className="muted">
            Lines {lines[0]?.seq} to {lines.at(-1)?.seq}; &quot;npx signalbox watch {deployment}&quot; prints
            them all.
          </p>
        )}
        {lines.length === 0 && (
          <p className="muted">
            {found ? 'No line has this text.' : (end.unread ?? 'Nothing was written yet.')}
          </p>
        )}
        {lines.map((line) => (
          <div
            key={line.seq}
            data-seq={line.seq}
            className={`line ${line.stream}${line.seq === marked ? ' first-error' : ''}`}
          >
            {found ? (
              <button
                type="button"
                className="seq"
                onClick={() => {
                  follow(false);
                  jumpTo(line.seq);
                }}
              >
                {line.seq}
              </button>
            ) : (
              <span className="seq">{line.seq}</span>
            )}
            <time dateTime={line.at} title={line.at}>
              {time(line.at)}
            </time>
            <span className="step-name">{line.step}</span>
            <span className="text">
              <Coloured line={line.text} />
            </span>
          </div>
        ))}
      </div>
    </section>
  );
}
