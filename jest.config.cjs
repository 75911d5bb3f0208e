/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
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
  maxWorkers: 3,
  testTimeout: 60_000,
};
