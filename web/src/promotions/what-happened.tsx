import { useQuery } from '@tanstack/react-query';
import type { DeploymentView, LogLine } from '../../../domain/schemas';
import { useApi, type Page } from '../api';
import { answerIn, excerpt } from '../../../domain/excerpt';
import { Coloured } from '../coloured';
import { count } from '../format';
import { Keyed } from '../keyed';
import { Time } from '../time';
import { Answer } from './answer';

/** Lines of the failed step. */
const quoted = 6;

/** Why an attempt was undone: which step failed, its last lines, what was undone, how what runs now was checked. */
export function WhatHappened({ attempt: a }: { attempt: DeploymentView }) {
  const api = useApi();
  const failed = a.steps.find(({ name, status }) => status === 'failed' && !undoes(name));
  const lines = useQuery({
    queryKey: ['last-lines', a.key, failed?.name, failed?.finishedAt],
    queryFn: () =>
      api.read<Page<LogLine>>(`/deployments/${a.key}/log?step=${failed!.name}&tail=true&limit=300`),
    enabled: failed !== undefined,
  }).data?.items;
  const { said, answer } = answerIn(failed?.detail ?? '');
  const undone = a.steps.filter(({ name }) => name.startsWith('undo-'));
  const check = a.steps.find(({ name }) => name === 'verify-rollback');
  return (
    <section aria-label="What happened" className="happened">
      <dl className="facts">
        {failed && (
          <>
            <dt>Failed</dt>
            <dd>
              <strong>{stepTitle(failed.name)}</strong> at <Time at={failed.finishedAt!} />
              {/* The last line says what the detail says. */}
              {(answer !== undefined || lines?.length === 0) && <p>{said}</p>}
              {answer !== undefined && <Answer text={answer} />}
              {answer === undefined && lines && lines.length > 0 && (
                <pre tabIndex={0} aria-label={`Last lines of ${stepTitle(failed.name)}`}>
                  {excerpt(
                    lines.map(({ text }) => text),
                    quoted,
                  ).map((line, n) =>
                    typeof line === 'string' ? (
                      <div key={n}>
                        <Coloured line={line} />
                      </div>
                    ) : (
                      <div key={n} className="muted">
                        {count(line.leftOut, 'line')} left out
                      </div>
                    ),
                  )}
                </pre>
              )}
            </dd>
          </>
        )}
        <dt>Undone</dt>
        <dd>
          {undone.length === 0
            ? 'Nothing: the target had not been touched.'
            : undone.map((step) => (
                <p key={step.name}>
                  {stepTitle(step.name)}, {step.status}: <Keyed text={step.detail ?? ''} />
                </p>
              ))}
        </dd>
        {undone.length > 0 && (
          <>
            <dt>Runs now</dt>
            <dd>
              {check ? (
                <>
                  {check.status === 'done' ? 'Checked and healthy' : `Check ${check.status}`}
                  {check.finishedAt && (
                    <>
                      {' '}
                      at <Time at={check.finishedAt} />
                    </>
                  )}
                  {check.detail && `: ${check.detail}`}
                </>
              ) : (
                'Not checked yet.'
              )}
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}

const undoes = (name: string) => name.startsWith('undo-') || name === 'verify-rollback';

const titles: Record<string, string> = {
  build: 'Build',
  backup: 'Backup',
  migrate: 'Migrate',
  swap: 'Swap',
  'health-check': 'Health check',
  'undo-migrate': 'Undo migrate',
  'undo-swap': 'Undo swap',
  'verify-rollback': 'Check what was restored',
};
export const stepTitle = (name: string): string => titles[name] ?? name;
