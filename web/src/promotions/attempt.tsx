import { useEffect, useState } from 'react';
import { answerIn } from '../../../domain/excerpt';
import { isTerminal } from '../../../domain/machines';
import type { DeploymentView } from '../../../domain/schemas';
import { troubleInWords } from '../../../domain/trouble';
import { wordState, wordTitle } from '../../../domain/words';
import { Badge } from '../badge';
import { Keyed } from '../keyed';
import { Time } from '../time';
import { dateTime, elapsed, lasting, short } from '../format';
import { History } from './history';
import { Log } from './log';
import { stepTitle, WhatHappened } from './what-happened';

/** The steps every deployment goes through; the ones that did not begin yet are shown too. */
const expected = ['build', 'backup', 'swap', 'health-check'];
/** One attempt as it goes: steps, what it waits for, how it ended, its log. */
export function Attempt({
  attempt: a,
  expectedMs,
}: {
  attempt: DeploymentView;
  expectedMs: Record<string, number>;
}) {
  const running = !isTerminal('deployment', a.status);
  useTick(running);
  /** What was answered stands once, under what happened. */
  const shortened = (text: string) =>
    a.steps.reduce((all, { detail }) => (detail ? all.replaceAll(detail, answerIn(detail).said) : all), text);
  const begun = a.steps.map(({ name }) => name);
  const toCome =
    a.status === 'running' || a.status === 'queued'
      ? expected.filter((name) => !begun.includes(name) && !(name === 'build' && a.trigger === 'rollback'))
      : [];
  return (
    <article aria-label={a.key} className="attempt">
      <header>
        <h3>
          {a.key} <small>{a.trigger}</small>
        </h3>
        <Badge machine="deployment" state={a.status} />
        <span className="muted">
          by {a.startedBy}
          {a.startedAt && (
            <>
              , <Time at={a.startedAt} />, {elapsed(a.startedAt, a.finishedAt)}
            </>
          )}
        </span>
        {a.temporal.url && (
          <a href={a.temporal.url} target="_blank" rel="noreferrer">
            Open in the Temporal UI
          </a>
        )}
      </header>
      {a.runner && (
        <p className="muted">
          done by the runner <code>{a.runner}</code>, on the host of {a.target}
        </p>
      )}
      {a.fence !== null && (
        <p className="muted">
          from <code>{short(a.from)}</code> to <code>{short(a.to)}</code>, fencing number {a.fence}
        </p>
      )}
      {a.waitingFor && (
        <p className="waiting" role="status">
          Waits for <Keyed text={a.waitingFor} />
        </p>
      )}
      {a.words.map((word) => (
        <p key={word.id} className={word.status === 'refused' ? 'warning' : 'muted'} role="status">
          {wordTitle(word)} asked by {word.by}, <Time at={word.saidAt} />
          {word.reason && (
            <>
              {' '}
              <q>
                <Keyed text={word.reason} />
              </q>
            </>
          )}
          : {wordState[word.status]}. <Keyed text={word.outcome} />
        </p>
      ))}
      {a.outcome && (
        <p className={`outcome ${a.status === 'succeeded' ? 'good' : 'bad'}`} role="status">
          <Keyed text={shortened(a.outcome)} />
        </p>
      )}
      <ol className="steps">
        {a.steps.map((step) => (
          <li key={step.name} className={`step ${step.status}`}>
            <span className="lamp" aria-hidden="true" />
            <strong>{stepTitle(step.name)}</strong>
            <span className="step-state">{step.status}</span>
            <span className="muted">
              {elapsed(step.startedAt, step.finishedAt)}
              {about(expectedMs[step.name])}
            </span>
            <span className="detail">{answerIn(step.detail).said}</span>
            {step.trouble && (
              <span className="trouble" role="status">
                {troubleInWords(step.trouble, new Date().toISOString())}
              </span>
            )}
          </li>
        ))}
        {toCome.map((name) => (
          <li key={name} className="step to-come">
            <span className="lamp" aria-hidden="true" />
            <strong>{stepTitle(name)}</strong>
            <span className="step-state">to come</span>
            <span className="muted">{about(expectedMs[name])}</span>
          </li>
        ))}
      </ol>
      {['rolling-back', 'rolled-back', 'rollback-failed'].includes(a.status) && <WhatHappened attempt={a} />}
      {a.logRemovedAt ? (
        <p className="muted">
          Its log was removed on {dateTime(a.logRemovedAt)}, as the policy of retention says.
        </p>
      ) : (
        <Log deployment={a.key} running={running} />
      )}
      <History deployment={a.key} />
    </article>
  );
}

/** What past runs of this target took. */
const about = (ms: number | undefined) => (ms === undefined ? '' : ` (about ${lasting(ms)})`);

/** Draws again every half second while something runs, so that elapsed times move. */
function useTick(running: boolean): void {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => draw((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [running]);
}
