import {
  isTerminal,
  machines,
  mayFollow,
  predecessorsOf,
  statesOf,
  type MachineName,
  type StateRow,
} from '../../domain/machines';

/**
 * Every state x state pair, written down a second time by hand: a row is a state, its text the states that may
 * follow. What is not named here must be refused.
 */
const expected: Record<MachineName, Record<string, string>> = {
  backlogItem: {
    open: 'in-progress deferred done',
    'in-progress': 'open done deferred',
    deferred: 'open in-progress',
    done: 'open',
  },
  promotion: {
    pending: 'approved rejected withdrawn superseded',
    approved: 'executing pending withdrawn superseded',
    executing: 'deployed rolled-back',
    deployed: 'rolled-back',
    'rolled-back': 'approved',
    rejected: 'pending',
    withdrawn: '',
    superseded: '',
  },
  changeRequest: {
    draft: 'submitted cancelled',
    submitted: 'approved rejected cancelled',
    approved: 'in-progress submitted cancelled',
    'in-progress': 'completed approved',
    completed: '',
    rejected: 'draft',
    cancelled: '',
  },
  deployment: {
    queued: 'waiting-for-window running refused cancelled superseded',
    'waiting-for-window': 'queued refused cancelled superseded',
    running: 'succeeded rolling-back',
    'rolling-back': 'rolled-back rollback-failed',
    'rollback-failed': 'rolling-back rolled-back',
    succeeded: '',
    'rolled-back': '',
    refused: '',
    cancelled: '',
    superseded: '',
  },
  step: { running: 'done failed', done: 'running', failed: 'running' },
  delivery: { pending: 'delivered undeliverable', delivered: '', undeliverable: 'pending' },
  word: { waiting: 'done refused expired', done: '', refused: '', expired: '' },
};

const terminal: Record<MachineName, string> = {
  backlogItem: '',
  promotion: 'withdrawn superseded',
  changeRequest: 'completed cancelled',
  deployment: 'succeeded rolled-back refused cancelled superseded',
  step: '',
  delivery: 'delivered',
  word: 'done refused expired',
};

describe.each(Object.keys(machines) as MachineName[])('%s', (machine) => {
  const states = Object.keys(expected[machine]);
  it('has exactly the states written here', () => {
    expect([...statesOf(machine)].sort()).toEqual([...states].sort());
  });
  it.each(states.flatMap((from) => states.map((to) => [from, to] as const)))('%s -> %s', (from, to) => {
    expect(mayFollow(machine, from, to)).toBe(expected[machine][from]!.split(' ').includes(to));
  });
  it('refuses states that it does not have', () => {
    expect(mayFollow(machine, 'constructor', states[0]!)).toBe(false);
    expect(mayFollow(machine, states[0]!, 'toString')).toBe(false);
  });
  it('names the predecessors that a compare-and-set accepts', () => {
    for (const to of states)
      expect([...predecessorsOf(machine, to as never)].sort()).toEqual(
        states.filter((from) => expected[machine][from]!.split(' ').includes(to)).sort(),
      );
  });
  it('knows which states end it', () => {
    expect(states.filter((state) => isTerminal(machine, state)).join(' ')).toBe(terminal[machine]);
  });
});

it('one word has one colour, whatever it is said of', () => {
  const tones = new Map<string, Set<string>>();
  for (const states of Object.values(machines))
    for (const { label, tone } of Object.values<StateRow>(states))
      tones.set(label, (tones.get(label) ?? new Set()).add(tone));
  expect([...tones].filter(([, all]) => all.size > 1)).toEqual([]);
});
