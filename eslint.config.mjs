import js from 'typescript-eslint';

export default js.config(
  {
    ignores: [
      'dist/**',
      'dist-failpoints/**',
      'node_modules/**',
      '.signalbox/**',
      '.mutants/**',
      '.versions/**',
    ],
  },
  ...js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.json', './web/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    // A process's own clock may be wrong by any amount and may jump.
    files: ['{activities,api,cli,db,domain,temporal-config,worker}/**/*.{ts,js}'],
    rules: {
      'no-restricted-properties': [
        'error',
        {
          object: 'Date',
          property: 'now',
          message:
            'What the record says is judged by its own clock: db/clock.ts, or now() in SQL. How long something takes is measured with performance.now().',
        },
      ],
    },
  },
  {
    // Workflow code is replayed: the same history has to lead to the same commands.
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-imports': ['error', { patterns: ['node:*', 'fs', 'crypto'] }],
      'no-restricted-globals': ['error', 'process', 'fetch', 'setImmediate', 'performance'],
    },
  },
  { files: ['domain/**/*.ts'], rules: { 'no-restricted-globals': ['error', 'process', 'fetch', 'Date'] } },
  {
    // These are about time, so the calendar is theirs; the clock is not.
    files: ['domain/windows/**/*.ts', 'domain/admission.ts', 'domain/conflicts.ts', 'domain/input.ts'],
    rules: {
      'no-restricted-globals': ['error', 'process', 'fetch'],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'no clock in domain/' },
        {
          selector: "MemberExpression[object.name='Date'][property.name='now']",
          message: 'no clock in domain/',
        },
      ],
    },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/no-explicit-any': 'off' } },
  { files: ['**/*.js', '**/*.cjs', '**/*.mjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
);
