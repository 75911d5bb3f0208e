import { partsOf } from '../../domain/ansi';

/** A line of a log with the colours that its program gave it. */
export const Coloured = ({ line }: { line: string }) =>
  partsOf(line).map(({ text, hue, bold }, n) =>
    hue || bold ? (
      <span key={n} className={[hue && `hue-${hue}`, bold && 'bold'].filter(Boolean).join(' ')}>
        {text}
      </span>
    ) : (
      text
    ),
  );
