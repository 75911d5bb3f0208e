import { useState } from 'react';
import { useApi, useHistory } from '../api';
import { dateTime, time } from '../format';
import { Refusal } from '../refusal';

/** What Temporal recorded of a deployment, kept by Signalbox after Temporal has dropped it. Read when it is opened. */
export function History({ deployment }: { deployment: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details className="history" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>What Temporal recorded</summary>
      {open && <Runs deployment={deployment} />}
    </details>
  );
}

function Runs({ deployment }: { deployment: string }) {
  const api = useApi();
  const [problem, setProblem] = useState('');
  const { data, error } = useHistory(deployment);
  if (error) return <Refusal error={error} />;
  if (!data) return <p className="muted">Reading ...</p>;
  const download = (run: string) => {
    setProblem('');
    api
      .download(`/deployments/${deployment}/history.json?run=${run}`, `${deployment}-${run}.json`)
      .catch((thrown: Error) => setProblem(thrown.message));
  };
  return (
    <>
      {problem && (
        <p role="alert" className="refusal">
          {problem}
        </p>
      )}
      {data.runs.map(({ workflowId, runId, keptAt, none, events }) => (
        <section key={runId} aria-label={workflowId}>
          <p className="muted">
            <code>{workflowId}</code>,{' '}
            {none ?? (keptAt ? `kept by Signalbox since ${dateTime(keptAt)}` : 'as Temporal has it now')}
            {!none && (
              <button type="button" className="plain" onClick={() => download(runId)}>
                Download for the Temporal UI
              </button>
            )}
          </p>
          {events.length > 0 && (
            <ol className="events" tabIndex={0}>
              {events.map(({ id, at, text }) => (
                <li key={id} value={id}>
                  <time dateTime={at}>{time(at)}</time> {text}
                </li>
              ))}
            </ol>
          )}
        </section>
      ))}
    </>
  );
}
