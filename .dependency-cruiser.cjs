// The import directions of the rooms. Each room lists what it may import; everything else is an error.
const rooms = {
  domain: [],
  'temporal-config': ['domain'],
  db: ['domain'],
  workflows: ['domain', 'temporal-config/names'],
  // The ids and signals by which workflows are told something are declared once, beside the workflows.
  activities: [
    ...['domain', 'db', 'workflows/messages'],
    ...['temporal-config/names', 'temporal-config/own-start', 'temporal-config/signing'],
  ],
  api: ['domain', 'db', 'temporal-config', 'workflows/messages'],
  worker: ['domain', 'db', 'temporal-config', 'activities', 'workflows'],
  web: ['domain'],
  cli: ['domain', 'db', 'temporal-config', 'activities', 'workflows', 'worker', 'api'],
};
const all = Object.keys(rooms).join('|');

module.exports = {
  forbidden: [
    ...Object.entries(rooms).map(([room, may]) => ({
      name: `${room}-imports`,
      comment: `${room}/ may import ${may.join(', ') || 'nothing of ours'}`,
      severity: 'error',
      from: { path: `^${room}/` },
      to: {
        path: `^(${all})/`,
        pathNot: [`^${room}/`, ...may.map((other) => `^${other}(/|\\.)`)],
        // Workflows know activities by their types alone.
        ...(room === 'workflows' ? { dependencyTypesNot: ['type-only'] } : {}),
      },
    })),
    {
      name: 'domain-is-pure',
      severity: 'error',
      from: { path: '^domain/' },
      to: {
        dependencyTypes: ['core', 'npm'],
        pathNot:
          '^(node_modules/)?(zod|yaml|luxon|picomatch|fractional-indexing|csv-parse|csv-stringify|fastest-levenshtein|markdown-it|@types/(luxon|picomatch|markdown-it))(/|$)',
      },
    },
    {
      name: 'workflows-are-deterministic',
      severity: 'error',
      from: { path: '^workflows/' },
      to: { dependencyTypes: ['core', 'npm'], pathNot: '@temporalio/(workflow|common)' },
    },
    {
      name: 'runs-without-tests',
      comment: 'dist/ has no tests in it',
      severity: 'error',
      from: { path: `^(${all}|bench)/` },
      to: { path: '^test/' },
    },
    {
      name: 'no-circles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.tsx', '.js', '.json'] },
  },
};
