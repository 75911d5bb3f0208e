/** The folders that hold the program's sources. */
export const rooms = [
  'domain',
  'workflows',
  'activities',
  'db',
  'api',
  'worker',
  'temporal-config',
  'cli',
  'web',
  'bench',
];
