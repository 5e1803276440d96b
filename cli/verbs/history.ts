import type { AuditRecord, DecidedBy, Decision, DecisionRecord } from '../../src/index.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { VerbContext } from '../program.ts';
import { print, table } from '../triage/output.ts';
import { withTriage, type CommonOptions } from '../triage/session.ts';

export interface HistoryOptions extends CommonOptions {
  readonly since?: Date;
  readonly until?: Date;
  readonly outcome?: Decision;
  readonly by?: DecidedBy;
  readonly label?: string;
  readonly id?: string;
  readonly limit: number;
  readonly audit?: true;
}

const DAY_MS = 86_400_000;

/** Without a bound everything that the log remembers would be sorted. The audit has an order of its own. */
function sinceOf({ id, audit, until }: HistoryOptions): Date | undefined {
  if (id !== undefined || audit === true) return undefined;
  return new Date((until?.getTime() ?? Date.now()) - DAY_MS);
}

export function runHistory(context: VerbContext, options: HistoryOptions): Promise<ExitCode> {
  return withTriage(context, options, 'monitor', async ({ triage, terminal, output }) => {
    const {
      since = sinceOf(options),
      until,
      outcome: decision,
      by: decidedBy,
      label,
      id,
      limit,
    } = options;
    const filter = { since, until, decision, decidedBy, label, transactionId: id, limit };
    if (options.audit === true) {
      const entries = await triage.audit(filter);
      await print(terminal, output, {
        schema: 'pgxa.audit/1',
        data: { entries },
        lines: entries.map((one) => ({ ...one })),
        text: (wide) => auditTable(entries, wide),
      });
      return EXIT.fine;
    }
    const decisions = await triage.history(filter);
    await print(terminal, output, {
      schema: 'pgxa.history/1',
      data: { decisions },
      lines: decisions.map((one) => ({ ...one })),
      text: (wide) => decisionTable(decisions, wide),
    });
    return EXIT.fine;
  });
}

function decisionTable(decisions: readonly DecisionRecord[], wide: boolean): Promise<string> {
  return table(
    [
      'DECIDED',
      'TRANSACTION',
      'DECISION',
      'BY',
      'COORDINATOR',
      'LABEL',
      ...(wide ? ['BRANCHES'] : []),
    ],
    decisions.map((one) => [
      one.decidedAt.toISOString(),
      one.transactionId,
      one.decision,
      one.decidedBy,
      one.coordinator ?? one.epoch,
      one.label ?? '',
      ...(wide
        ? [one.branches.map(({ participant, xid }) => `${participant}:${xid ?? '?'}`).join(' ')]
        : []),
    ]),
  );
}

function auditTable(entries: readonly AuditRecord[], wide: boolean): Promise<string> {
  return table(
    [
      'AT',
      'ACTOR',
      'ROLE',
      'ACTION',
      'TRANSACTION',
      'REASON',
      ...(wide ? ['BEFORE', 'AFTER'] : []),
    ],
    entries.map((one) => [
      one.at.toISOString(),
      one.actor,
      one.role,
      one.action,
      one.transactionId ?? '',
      one.reason ?? '',
      ...(wide ? [json(one.before), json(one.after)] : []),
    ]),
  );
}

function json(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}
