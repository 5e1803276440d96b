import { loadConfigFile } from '../config-file.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { millisecondsOf } from '../seconds.ts';

/** A daemon that listens everywhere is asked here. */
const ANYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** For the health check of a container: one request, one line, exit code 0 or 1. */
export async function askHealth(
  { terminal, configPath }: VerbContext,
  { ready, timeout }: { readonly ready: boolean; readonly timeout: number },
): Promise<ExitCode> {
  const { http } = loadConfigFile(configPath, terminal).settings.daemon;
  if (http === false) {
    terminal.stderr.write('pgxa: daemon.http is false, there is nobody to ask\n');
    return EXIT.failed;
  }
  const host = ANYWHERE[http.host] ?? http.host;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${http.port}/${ready ? 'readyz' : 'livez'}`;
  const headers = http.token === undefined ? {} : { authorization: `Bearer ${http.token}` };
  try {
    const response = await fetch(url, {
      headers,
      signal: AbortSignal.timeout(millisecondsOf(timeout)),
    });
    terminal.stdout.write(await response.text());
    return response.ok ? EXIT.fine : EXIT.failed;
  } catch (error) {
    const { cause, message } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    terminal.stderr.write(`pgxa: no answer from ${url}: ${reason}\n`);
    return EXIT.failed;
  }
}
