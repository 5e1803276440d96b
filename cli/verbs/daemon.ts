import { ConfigFileError } from '../config/problem.ts';
import { DaemonHost } from '../daemon/host.ts';
import { exitCodeOf, reportFailure } from '../failure.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { toError } from '../../src/errors.ts';

export async function runDaemon(context: VerbContext): Promise<ExitCode> {
  let host: DaemonHost;
  try {
    host = new DaemonHost(context);
  } catch (thrown) {
    if (thrown instanceof ConfigFileError) return reportFailure(thrown, context.terminal);
    throw thrown;
  }
  try {
    return await host.run();
  } catch (thrown) {
    // Its log has told the reason.
    return exitCodeOf(toError(thrown));
  }
}
