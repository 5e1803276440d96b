import type { Command } from 'commander';

import type { Run } from './program.ts';
import { common } from './triage-verbs.ts';
import type { CommonOptions } from './triage/session.ts';

export function addDoctor(program: Command, run: Run): void {
  common(program.command('doctor'))
    .description('is everything really working: the log, participants, rights, daemons, clocks?')
    .addHelpText(
      'after',
      `
It asks the log and all participants at once, and changes nothing. Each finding has a severity, what was found,
and what to do:
  fault      something does not work, or can lose what was promised
  warning    it works, and can become a fault
  info       worth knowing
  ok         looked at, and right; the table only counts them: -o wide shows them all

What it looks at is what this configuration can do: rights and defaults are those of its logins.

Exit codes: 0 no fault; 1 a fault was found, whatever else is missing; 5 no fault was found, and the log or a
participant did not answer within --timeout. A server that answers and lets nobody in is a fault.

Examples:
  pgxa doctor
  pgxa doctor -o wide
  pgxa doctor -o json --timeout 3 | jq -r '.findings[] | select(.severity == "fault") | .action'
`,
    )
    .action((options: CommonOptions) =>
      run(async (context) => (await import('./verbs/doctor.ts')).runDoctor(context, options)),
    );
}
