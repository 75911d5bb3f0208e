import { useState } from 'react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { changeTypes, risks, type ChangeType, type Risk } from '../../../domain/machines';
import type { WindowView } from '../../../domain/schemas';
import { Problem, useApi, useTargets, type Api } from '../api';
import { standFor, useMe } from '../shell/me';
import { Duration, Only } from './window-fields';
import { Preview } from './window-preview';

/** What of a window is written; the rest is the server's. */
export type Fields = Omit<WindowView, 'id' | 'createdBy' | 'version' | 'createdAt' | 'updatedAt'>;

const weekdays = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];
/** @param start local time, whose day a weekly window keeps. */
const repeats = (start: string): [string, string][] => {
  const day = weekdays[(new Date(`${start.slice(0, 10)}T12:00Z`).getUTCDay() + 6) % 7];
  return [
    ['', 'once'],
    ['FREQ=DAILY', 'every day'],
    ['FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR', 'on weekdays'],
    [`FREQ=WEEKLY;BYDAY=${day}`, 'every week on this day'],
  ];
};

export function WindowForm(props: {
  fields: Fields;
  version?: number;
  /** Begins anew with the window as it is now. */
  again?: () => void;
  /** The window that it is now; its preview leaves that out. */
  replaces?: number;
  save: (api: Api, as: string | undefined, body: object, version?: number) => Promise<unknown>;
}) {
  const api = useApi();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const targets = useTargets().data?.items ?? [];
  const [f, setFields] = useState<Fields>(() => fieldsOf(props.fields));
  // What it was when one began to change it: a change made meanwhile is not written over.
  const [version] = useState(props.version);
  const set = (change: Partial<Fields>) => setFields((before) => ({ ...before, ...change }));
  const stand = standFor(useMe(), 'windows', f.scope.target);
  const save = useMutation({
    mutationFn: () =>
      props.save(api, stand.can ? stand.as : undefined, bodyOf(f, version !== undefined), version),
    async onSuccess() {
      go('/calendar' + window.location.search);
      await queries.invalidateQueries();
    },
  });
  const scope = f.scope.target
    ? `target ${f.scope.target}`
    : f.scope.environment
      ? `environment ${f.scope.environment}`
      : '';
  const known = repeats(f.start);
  const custom = f.rrule !== undefined && !known.some(([rule]) => rule === f.rrule);
  const [byHand, setByHand] = useState(custom);
  return (
    <form
      className="ship"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate();
      }}
    >
      <label>
        Name
        <input value={f.name} required onChange={({ target }) => set({ name: target.value })} />
      </label>
      <label>
        For
        <select
          value={scope}
          onChange={({ target: { value } }) => {
            const [kind, ...name] = value.split(' ');
            set({ scope: kind ? { [kind]: name.join(' ') } : {} });
          }}
        >
          <option value="">every target</option>
          {[...new Set(targets.map((t) => t.environment))].map((name) => (
            <option key={name} value={`environment ${name}`}>
              environment {name}
            </option>
          ))}
          {targets.map(({ name }) => (
            <option key={name} value={`target ${name}`}>
              target {name}
            </option>
          ))}
        </select>
      </label>
      <div className="fields">
        <label>
          Begins
          <input
            type="datetime-local"
            value={f.start}
            required
            onChange={({ target }) => set({ start: target.value })}
          />
        </label>
        <label>
          Time zone
          <input
            value={f.timeZone}
            required
            list="zones"
            onChange={({ target }) => set({ timeZone: target.value })}
          />
        </label>
        <Duration minutes={f.durationMinutes} set={(durationMinutes) => set({ durationMinutes })} />
        <label>
          Repeats
          <select
            value={byHand ? 'rule' : (f.rrule ?? '')}
            onChange={({ target: { value } }) => {
              setByHand(value === 'rule');
              if (value !== 'rule')
                set({
                  rrule: value || undefined,
                  ...(value ? {} : { until: undefined, exceptDates: undefined }),
                });
            }}
          >
            {known.map(([rule, title]) => (
              <option key={rule} value={rule}>
                {title}
              </option>
            ))}
            <option value="rule">by a rule</option>
          </select>
        </label>
      </div>
      <datalist id="zones">
        {['UTC', ...Intl.supportedValuesOf('timeZone')].map((zone) => (
          <option key={zone} value={zone} />
        ))}
      </datalist>
      {byHand && (
        <label>
          Rule (RFC 5545)
          <input
            value={f.rrule ?? ''}
            placeholder="FREQ=MONTHLY;BYDAY=1SU"
            onChange={({ target }) => set({ rrule: target.value || undefined })}
          />
        </label>
      )}
      {f.rrule !== undefined && (
        <div className="fields">
          <label>
            Last day (optional)
            <input
              type="date"
              value={f.until?.slice(0, 10) ?? ''}
              onChange={({ target }) => set({ until: target.value || undefined })}
            />
          </label>
          <label>
            Not on
            <input
              defaultValue={f.exceptDates?.join(', ') ?? ''}
              placeholder="2026-12-24, 2026-12-31"
              onBlur={({ target }) => {
                const dates = target.value.split(/[\s,]+/).filter(Boolean);
                set({ exceptDates: dates.length > 0 ? dates : undefined });
              }}
            />
          </label>
        </div>
      )}
      <Only<ChangeType>
        title="Changes"
        all={changeTypes}
        chosen={f.changeTypes}
        set={(types) => set({ changeTypes: types })}
      />
      <Only<Risk> title="Risks" all={risks} chosen={f.risks} set={(chosen) => set({ risks: chosen })} />
      <label>
        Reason, shown to whoever it holds
        <input value={f.reason ?? ''} onChange={({ target }) => set({ reason: target.value || undefined })} />
      </label>
      <Preview body={bodyOf({ ...f, name: f.name || 'new' }, false)} replaces={props.replaces} />
      {save.error && (
        <p role="alert" className="refusal">
          {save.error.message}{' '}
          {save.error instanceof Problem && save.error.status === 412 && (
            <button type="button" onClick={props.again}>
              Take what it says now
            </button>
          )}
        </p>
      )}
      {!stand.can && <p className="muted">{stand.why}</p>}
      <span className="row">
        <button type="submit" className="primary" disabled={!stand.can || save.isPending}>
          {save.isPending ? 'Saving …' : `Save${stand.can && stand.as ? ` as ${stand.as}` : ''}`}
        </button>
      </span>
    </form>
  );
}

const fieldsOf = (f: Fields): Fields => ({
  name: f.name,
  kind: f.kind,
  scope: f.scope,
  start: f.start,
  timeZone: f.timeZone,
  durationMinutes: f.durationMinutes,
  rrule: f.rrule,
  exceptDates: f.exceptDates,
  until: f.until,
  changeTypes: f.changeTypes,
  risks: f.risks,
  reason: f.reason,
});
/** What an edit leaves empty is taken away. */
const bodyOf = (f: Fields, edit: boolean): object =>
  Object.fromEntries(
    Object.entries(fieldsOf(f))
      .map(([name, value]): [string, unknown] => [name, value ?? (edit ? null : undefined)])
      .filter(([, value]) => value !== undefined),
  );
