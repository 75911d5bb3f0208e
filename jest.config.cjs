/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: '<rootDir>/test/helpers/environment.cjs',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.[jt]sx?$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript', tsx: true } } },
    ],
  },
  // Modules that are only ESM, which jest can not require.
  transformIgnorePatterns: [
    '/node_modules/(?!(openid-client|oauth4webapi|jose|ical\\.js|fractional-indexing)/)',
  ],
  modulePathIgnorePatterns: [
    '<rootDir>/dist',
    '<rootDir>/dist-failpoints',
    '<rootDir>/.signalbox',
    '<rootDir>/.mutants',
    '<rootDir>/.versions',
  ],
  globalSetup: '<rootDir>/test/helpers/global-setup.ts',
  globalTeardown: '<rootDir>/test/helpers/global-teardown.ts',
  // Not in the temporary folder: a run that a test starts has one of its own, and would compile everything again.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  // More than there are cores: a file waits for half of its time.
  maxWorkers: 5,
  // What jest keeps of earlier files makes each fork slower, up to a tenth of a second: nearly every file gets a process
  // of its own.
  workerIdleMemoryLimit: '100MB',
  // For hangs only: no test sets one of its own. What a test waits for has its bound in test/helpers/until.ts.
  testTimeout: 900_000,
};
