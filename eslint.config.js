import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Imports that would turn the dependency direction of ARCHITECTURE.md around. */
const forbid = (files, patterns, ignores = []) => ({
  files,
  ignores,
  rules: {
    'no-restricted-imports': ['error', { patterns }],
  },
});

const pg = {
  regex: '^pg(/|$)',
  message: 'pg is imported only at the edge: src/postgres/ (and the CLI, tests, examples).',
};
const toTest = { regex: '(^|/)test/', message: 'production code never imports from test/.' };
const toCli = { regex: '(^|/)cli/', message: 'the library never imports from cli/.' };
const to = (folder, why) => ({ regex: `(^|/)${folder}/`, message: why });

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', '.postgres/', '.stryker-tmp/', 'node_modules/'] },
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js', '*.mjs'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // A method that implements an interface may have nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    ...tseslint.configs.disableTypeChecked,
  },
  {
    files: ['examples/**', 'scripts/**', 'bench/**', 'cli/**', 'test/**', 'packaging/**'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['examples/**/*.mjs', 'bench/**/*.mjs'],
    languageOptions: {
      globals: { console: 'readonly', process: 'readonly', globalThis: 'readonly' },
    },
  },
  // Dependency direction (DESIGN.md section 6):
  // index -> transaction-manager -> {coordinator, recovery} -> {participant, decision-log} -> {states, errors, ...}
  forbid(['src/*.ts'], [pg, toTest, toCli]),
  forbid(['cli/**'], [pg, toTest]),
  forbid(
    ['src/coordinator/**'],
    [pg, toTest, toCli, to('recovery', 'coordinator and recovery meet only in the decision log.')],
  ),
  forbid(
    ['src/recovery/**'],
    [
      pg,
      toTest,
      toCli,
      to('coordinator', 'coordinator and recovery meet only in the decision log.'),
    ],
  ),
  forbid(
    ['src/triage/**'],
    [
      pg,
      toTest,
      toCli,
      to('coordinator', 'triage sees coordinators through the decision log alone.'),
    ],
  ),
  forbid(
    ['src/participant/**', 'src/decision-log/**'],
    [
      pg,
      toTest,
      toCli,
      to('(coordinator|recovery)', 'participant and decision log know nothing of their callers.'),
    ],
  ),
  forbid(
    ['src/postgres/**'],
    [
      toTest,
      toCli,
      to('(coordinator|recovery|participant|decision-log)', 'src/postgres/ is the lowest layer.'),
    ],
  ),
);
