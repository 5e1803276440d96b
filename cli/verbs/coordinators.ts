import type { CoordinatorState } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { print, table } from '../triage/output.ts';
import { withTriage, type CommonOptions } from '../triage/session.ts';
import { age } from '../triage/text.ts';

export interface CoordinatorsOptions extends CommonOptions {
  readonly all?: true;
}

export function runCoordinators(
  context: VerbContext,
  options: CoordinatorsOptions,
): Promise<ExitCode> {
  return withTriage(context, options, 'monitor', async ({ triage, terminal, output }) => {
    const coordinators = await triage.coordinators({ includeRetired: options.all === true });
    if (coordinators.length === 0) terminal.stderr.write('no coordinator is registered\n');
    await print(terminal, output, {
      schema: 'pgxa.coordinators/1',
      data: { coordinators },
      lines: coordinators.map((one) => ({ ...one })),
      text: (wide) => coordinatorTable(coordinators, wide),
    });
    return EXIT.fine;
  });
}

function coordinatorTable(
  coordinators: readonly CoordinatorState[],
  wide: boolean,
): Promise<string> {
  const more = ['VERSION', 'ROLE', 'STARTED', 'RETIRED'];
  return table(
    ['EPOCH', 'NAME', 'HOST', 'PID', 'STATE', 'HEARTBEAT', ...(wide ? more : [])],
    coordinators.map((one) => [
      one.epoch,
      one.name,
      one.host,
      String(one.pid),
      one.state,
      `${age(Math.max(0, one.heartbeatAgeMs))} ago`,
      ...(wide
        ? [
            one.version,
            one.role,
            one.startedAt.toISOString(),
            one.retiredAt === undefined
              ? ''
              : `${one.retiredAt.toISOString()} by ${one.retiredBy ?? '?'}`,
          ]
        : []),
    ]),
  );
}
