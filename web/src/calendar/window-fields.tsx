import { useState } from 'react';

/** Fields of a window that are more than one input. */
const units: [number, string][] = [
  [1_440, 'days'],
  [60, 'hours'],
  [1, 'minutes'],
];
export function Duration({ minutes, set }: { minutes: number; set: (minutes: number) => void }) {
  const [unit, setUnit] = useState(() => units.find(([size]) => minutes % size === 0)![0]);
  return (
    <fieldset className="duration">
      <legend>Lasts</legend>
      <input
        type="number"
        min={1}
        step={1}
        required
        aria-label="How long it lasts"
        value={minutes > 0 ? minutes / unit : ''}
        onChange={({ target }) => set(Math.round(Number(target.value) * unit))}
      />
      <select
        aria-label="Unit"
        value={unit}
        onChange={({ target }) => {
          setUnit(Number(target.value));
          set(Math.round((minutes / unit) * Number(target.value)));
        }}
      >
        {units.map(([size, name]) => (
          <option key={size} value={size}>
            {name}
          </option>
        ))}
      </select>
    </fieldset>
  );
}

/** Which changes it is for; none ticked: every one. */
export function Only<T extends string>(props: {
  title: string;
  all: readonly T[];
  chosen: T[] | undefined;
  set: (chosen: T[] | undefined) => void;
}) {
  const { title, all, chosen = [], set } = props;
  return (
    <fieldset className="row">
      <legend>{title}: only these, or with none ticked every one</legend>
      {all.map((one) => (
        <label key={one} className="row">
          <input
            type="checkbox"
            checked={chosen.includes(one)}
            onChange={({ target }) => {
              const next = all.filter((o) => (o === one ? target.checked : chosen.includes(o)));
              set(next.length > 0 ? next : undefined);
            }}
          />
          {one}
        </label>
      ))}
    </fieldset>
  );
}
