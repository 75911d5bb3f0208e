import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readsAs } from '../../domain/reads-as';
import { sentences } from '../../domain/sentences';
import { machines, type DeploymentStatus } from '../../domain/machines';

it.each<[(string | null | undefined | false)[], string]>([
  [['exited with 1.', 'Resolve it'], 'exited with 1. Resolve it.'],
  [['exited with 1..', 'Resolve it.'], 'exited with 1. Resolve it.'],
  [['the disk is away', 'Try again'], 'the disk is away. Try again.'],
  [['why?', 'because!'], 'why? because!'],
  [['it said "no."', 'So it ends'], 'it said "no." So it ends.'],
  [['ends with a comma,', undefined, '', ' spaced '], 'ends with a comma. spaced.'],
  [['Reading ...', null, false], 'Reading ...'],
])('%j is %j', (parts, whole) => expect(sentences(...parts)).toBe(whole));

it('a promotion reads as its attempt while that is rolled back or could not be, and as itself otherwise', () => {
  for (const status of Object.keys(machines.deployment) as DeploymentStatus[]) {
    const { state } = readsAs('executing', status);
    const back = ['rolling-back', 'rollback-failed'].includes(status);
    expect([status, state]).toEqual([status, back ? status : 'executing']);
  }
  expect(readsAs('pending', null).state).toBe('pending');
});

it('what somebody else worded is never ended by hand', () => {
  const foreign = /\$\{[^{}'?]*\b(messageOf|thrown|reason|why|refused|message)\b[^{}'?]*\}\.[ `']/;
  const rooms = ['activities', 'api', 'cli', 'db', 'domain', 'worker', 'workflows', 'web/src'];
  const found = rooms.flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name))
      .flatMap((name) => readFileSync(join(room, name), 'utf8').split('\n'))
      .filter((line) => foreign.test(line)),
  );
  expect(found).toEqual([]);
});
