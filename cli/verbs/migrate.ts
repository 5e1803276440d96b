import { migrateDecisionLog, pendingMigrations, type ConnectionOptions } from '../../src/index.ts';
import { loadConfigFile, tellWarnings } from '../config-file.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { millisecondsOf } from '../seconds.ts';

export interface MigrateOptions {
  readonly print: boolean;
  /** Seconds. */
  readonly timeout: number;
}

export async function runMigrate(
  { terminal, configPath }: VerbContext,
  { print, timeout }: MigrateOptions,
): Promise<ExitCode> {
  const config = loadConfigFile(configPath, terminal, 'log');
  tellWarnings(config, terminal);
  const place = config.settings.decisionLog as ConnectionOptions;
  const limit = { connectTimeoutMs: millisecondsOf(timeout) };
  const pending = await pendingMigrations(place, limit);
  if (print) {
    for (const { file, sql } of pending) terminal.stdout.write(`-- ${file}\n${sql.trimEnd()}\n\n`);
    if (pending.length === 0) terminal.stderr.write('the decision log is up to date\n');
    return EXIT.fine;
  }
  await migrateDecisionLog(place, limit);
  const done = pending.map(({ file }) => file).join(', ');
  terminal.stderr.write(
    pending.length === 0
      ? 'the decision log was up to date\n'
      : `the decision log has now ${done}\n`,
  );
  return EXIT.fine;
}
