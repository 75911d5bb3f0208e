import { dateTime } from './format';

/** Local time, UTC on hover. */
export const Time = ({ at }: { at: string }) => (
  <time dateTime={at} title={`${at.slice(0, 16).replace('T', ' ')} UTC`}>
    {dateTime(at)}
  </time>
);
