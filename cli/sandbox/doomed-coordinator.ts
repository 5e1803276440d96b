/**
 * A program that uses pgxa and is killed at the worst moment: forked by `pgxa sandbox --with-doubt`. One of
 * its transactions is decided and not carried out, the other one has only voted.
 */
import {
  createTransactionManager,
  type TransactionScope,
  type TransactionManager,
} from '../../src/index.ts';
import type { FaultPoint } from '../../src/coordinator/protocol-context.ts';

export interface DoomedPlan {
  readonly log: string;
  readonly participants: Readonly<Record<string, string>>;
}

/** Ids of the transactions that it leaves behind; or why it could not. */
export type DoomedReport =
  { readonly decided: string; readonly undecided: string } | { readonly error: string };

/** It waits there for its death. */
const PLACES: Readonly<Record<string, FaultPoint>> = {
  'order 1001': 'after-decide',
  'order 1002': 'before-decide',
};

process.once('message', (plan: DoomedPlan) => {
  leaveDoubt(plan).then(tell, (error: unknown) => {
    tell({ error: String(error) });
  });
});

function tell(report: DoomedReport): void {
  process.send?.(report, undefined, undefined, () => {
    process.kill(process.pid, 'SIGKILL');
  });
}

async function leaveDoubt({ log, participants }: DoomedPlan): Promise<DoomedReport> {
  const labels = new Map<string, string>();
  const stuck = new Map<string, string>();
  let allStuck: () => void = () => undefined;
  const arrived = new Promise<void>((resolve) => (allStuck = resolve));
  const manager = await createTransactionManager(
    {
      coordinator: 'shop',
      decisionLog: { connectionString: log },
      participants: Object.fromEntries(
        Object.entries(participants).map(([name, connectionString]) => [
          name,
          { connectionString },
        ]),
      ),
    },
    {
      faultHook: (point, transactionId) => {
        const label = labels.get(transactionId) ?? '';
        if (PLACES[label] !== point) return;
        stuck.set(label, transactionId);
        if (stuck.size === Object.keys(PLACES).length) allStuck();
        return new Promise(() => undefined);
      },
    },
  );
  const failed = Promise.all(
    Object.keys(PLACES).map((label, at) => transfer(manager, label, at + 1, labels)),
  );
  await Promise.race([arrived, failed]);
  return { decided: stuck.get('order 1001') ?? '', undecided: stuck.get('order 1002') ?? '' };
}

/** Moves money from one participant to the other one. */
function transfer(
  manager: TransactionManager,
  label: string,
  account: number,
  labels: Map<string, string>,
): Promise<void> {
  return manager.run({ label }, async (tx: TransactionScope) => {
    labels.set(tx.id, label);
    for (const [participant, difference] of [
      ['orders', -100],
      ['billing', 100],
    ] as const) {
      await tx
        .on(participant)
        .query('update account set balance = balance + $1 where id = $2', [difference, account]);
    }
  });
}
