import { PgxaError, toError } from '../src/errors.ts';
import { ConfigFileError } from './config/problem.ts';
import { redactUris } from './config/redact.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** Says on stderr why a verb failed, without a secret, and returns the exit code for it. */
export function reportFailure(thrown: unknown, terminal: Terminal): ExitCode {
  const error = toError(thrown);
  const code = error instanceof PgxaError ? ` (${error.code})` : '';
  terminal.stderr.write(`pgxa: ${redactUris(error.message)}${code}\n`);
  return exitCodeOf(error);
}

export function exitCodeOf(error: Error): ExitCode {
  if (error instanceof ConfigFileError) return EXIT.usage;
  return error instanceof PgxaError && error.code === 'PGXA_CONFIG_INVALID'
    ? EXIT.usage
    : EXIT.failed;
}
