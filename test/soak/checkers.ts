/**
 * What a history must not show. Pure functions over its events, run after the soak and on a stored file alike;
 * themselves tested with planted violations (checkers.test.ts). The numbers I1 to I26 are those of
 * docs/testing-nemesis.md.
 */
import { ACCOUNTS, START_BALANCE } from './history.ts';
import { summarise, type Ledger, type Seen } from './ledger.ts';

export interface Violation {
  readonly rule: string;
  readonly id: string;
  readonly what: string;
}

type Rule = (ledger: Ledger) => Violation[];

const violation = (rule: string, id: string, what: string): Violation => ({ rule, id, what });

/** Where the markers of a transaction stand: everywhere, somewhere, nowhere. */
export function standing(seen: Seen): 'whole' | 'torn' | 'none' {
  const { size } = seen.markers;
  if (size === 0) return 'none';
  const wanted = new Set(
    [...seen.markers.values()].flatMap((rows) => rows.flatMap((row) => row.writers)),
  );
  const exact = wanted.size === size && [...wanted].every((name) => seen.markers.has(name));
  return exact ? 'whole' : 'torn';
}

const eachSeen =
  (judge: (id: string, seen: Seen, ledger: Ledger) => Violation[]): Rule =>
  (ledger) =>
    [...ledger.seen].flatMap(([id, seen]) => judge(id, seen, ledger));

/** I1: all branches of a transaction end the same way. */
const agreement = eachSeen((id, seen, ledger) => {
  if (standing(seen) !== 'torn') return [];
  const [row] = [...seen.markers.values()].flat();
  const where = `${seen.type}: markers on ${[...seen.markers.keys()].join(', ')}, wanted on ${row?.writers.join(', ') ?? '?'}`;
  return ledger.excused(id, seen) ? [] : [violation('I1 torn', id, where)];
});

/** I2, I6: no answer contradicts what stands, nor another answer. */
const answers = eachSeen((id, seen, ledger) => {
  const found: Violation[] = [];
  const stands = standing(seen);
  const wrote = seen.writers.length > 0;
  const say = (rule: string, what: string): void => {
    found.push(violation(rule, id, `${seen.type}: ${what}; markers: ${stands}`));
  };
  const done = stands === 'whole' || !wrote || ledger.excused(id, seen);
  if (seen.begun === 0 && (stands !== 'none' || seen.told.has('ok'))) {
    say('I1 never begun', 'markers or answers of a transaction that nobody began');
  }
  if (seen.told.has('ok') && !done) say('I6 told committed', 'run() resolved');
  if (seen.told.has('fail') && stands !== 'none') say('I6 told rolled back', seen.why);
  if (seen.told.size > 1) say('I2 two answers', [...seen.told].join(' and '));
  if (seen.outcomes.size > 1) say('I2 outcomeOf changed', [...seen.outcomes].join(' and '));
  if (seen.outcomes.has('committed') && !done) say('I6 outcomeOf', 'committed');
  if (seen.outcomes.has('aborted') && stands !== 'none') say('I6 outcomeOf', 'aborted');
  if (seen.outcomes.has('committed') && seen.told.has('fail')) {
    say('I2 outcomeOf', 'committed, told rolled back');
  }
  if (seen.outcomes.has('aborted') && seen.told.has('ok')) {
    say('I2 outcomeOf', 'aborted, told committed');
  }
  return found;
});

const hooks = eachSeen((id, seen) => {
  const found: Violation[] = [];
  if (seen.hooks.size > 1) found.push(violation('hooks', id, 'both hooks were called'));
  if (seen.hooks.has('committed') && !onlyTold(seen, 'ok')) {
    found.push(
      violation(
        'hooks',
        id,
        `onCommitted was called, and its caller was told ${[...seen.told].join()}`,
      ),
    );
  }
  if (seen.hooks.has('rolled-back') && !onlyTold(seen, 'fail')) {
    found.push(
      violation(
        'hooks',
        id,
        `onRolledBack was called, and its caller was told ${[...seen.told].join()}`,
      ),
    );
  }
  return found;
});

/** A process may have been killed between the hook and the answer. */
function onlyTold(seen: Seen, answer: string): boolean {
  return [...seen.told].every((one) => one === answer);
}

/** Own faults can never end in a commit. */
const doomed = eachSeen((id, seen) => {
  const cannot = ['throws', 'deferred-violation', 'statement-error'].includes(seen.type);
  const did = seen.told.has('ok') || standing(seen) !== 'none';
  return cannot && did ? [violation('I3 committed in spite of a no', id, seen.type)] : [];
});

/** I8: with one key, at most one transaction is ever committed. */
const keys: Rule = (ledger) => {
  const byKey = new Map<string, string[]>();
  const found: Violation[] = [];
  for (const [id, seen] of ledger.seen) {
    const done = standing(seen) !== 'none';
    if (done && seen.key !== undefined) byKey.set(seen.key, [...(byKey.get(seen.key) ?? []), id]);
    if (seen.existing === undefined) continue;
    const existing = ledger.seen.get(seen.existing);
    const did =
      existing !== undefined && existing.key === seen.key && standing(existing) === 'whole';
    if (!did && !(existing !== undefined && ledger.excused(seen.existing, existing))) {
      found.push(violation('I8 already done', id, `told that ${seen.existing} did it: not so`));
    }
  }
  for (const [key, all] of byKey) {
    // A log that is restored has forgotten the keys of what it has lost: nobody can refuse them.
    const ids = all.filter((id) => !ledger.lostDecisions.has(id));
    if (ids.length > 1) found.push(violation('I8 key used twice', ids.join(' '), key));
  }
  return found;
};

/** I7: balances are the replay of the markers, and nothing was lost, doubled, made or destroyed. */
const money: Rule = (ledger) => {
  const found: Violation[] = [];
  let total = tornByHand(ledger);
  for (const [participant, accounts] of ledger.accounts) {
    for (const { id, balance, version } of accounts) {
      total += balance;
      const rows = ledger.rowsOf(participant, id);
      const where = `${participant} account ${id}`;
      const replayed = START_BALANCE + rows.reduce((sum, { row }) => sum + row.amount, 0);
      if (replayed !== balance) {
        found.push(violation('I7 balance', where, `is ${balance}, its transfers make ${replayed}`));
      }
      const exact = rows.every(({ row }, index) => row.version === index + 1);
      if (!exact || rows.length !== version) {
        found.push(violation('I8 versions', where, `version ${version}, ${rows.length} transfers`));
      }
    }
  }
  const expected = ledger.accounts.size * ACCOUNTS * START_BALANCE;
  if (total !== expected && ledger.lost.size === 0) {
    found.push(
      violation('I7 sum', '', `the sum of all balances is ${total}, expected ${expected}`),
    );
  }
  return found;
};

/** What the participants that an operator has rolled back by hand did not get, or did not give. */
function tornByHand(ledger: Ledger): number {
  const amounts = [...ledger.forcedAgainst.keys()].flatMap((id) =>
    [...(ledger.seen.get(id)?.markers.values() ?? [])].flatMap((rows) =>
      rows.map(({ amount }) => amount),
    ),
  );
  return -amounts.reduce((sum, amount) => sum + amount, 0);
}

/** I9: transactions that meet on two participants are committed there in one order. */
const order: Rule = (ledger) => {
  const found: Violation[] = [];
  const names = [...ledger.accounts.keys()];
  for (let account = 1; account <= ACCOUNTS; account += 1) {
    for (const [index, one] of names.entries()) {
      for (const other of names.slice(index + 1)) {
        const here = ledger.rowsOf(one, account).map(({ id }) => id);
        const there = ledger.rowsOf(other, account).map(({ id }) => id);
        const known = new Set(there);
        const both = new Set(here.filter((id) => known.has(id)));
        const first = here.filter((id) => both.has(id));
        const second = there.filter((id) => both.has(id));
        const at = first.findIndex((id, position) => second[position] !== id);
        if (at !== -1) {
          found.push(
            violation(
              'I9 order',
              first[at] ?? '',
              `${one} and ${other} differ on account ${account}`,
            ),
          );
        }
      }
    }
  }
  return found;
};

/** I10, in the log's own words: what stands in the register is what the participants have. */
const register: Rule = (ledger) => {
  const found: Violation[] = [];
  for (const [id, { outcome, by }] of ledger.decisions) {
    const seen = ledger.seen.get(id);
    const stands = seen === undefined ? 'none' : standing(seen);
    const excused = seen !== undefined && ledger.excused(id, seen);
    if (outcome === 'commit' && stands !== 'whole' && !excused) {
      found.push(violation('I2 decided commit', id, `by ${by}; markers: ${stands}`));
    }
    if (outcome === 'abort' && stands !== 'none') {
      found.push(violation('I2 decided abort', id, `by ${by}; markers: ${stands}`));
    }
  }
  for (const [id, seen] of ledger.seen) {
    if (seen.markers.size < 2 || ledger.decisions.get(id)?.outcome === 'commit') continue;
    if (!ledger.lostDecisions.has(id)) {
      found.push(violation('I10 no decision', id, 'committed without a row'));
    }
  }
  return found;
};

/** A heuristic outcome where no fault of this run can have made one. */
const heuristics: Rule = (ledger) =>
  ledger.heuristics
    .filter((one) => !ledger.excusesHeuristic(one))
    .map(({ id, where, what }) => violation(`I16 heuristic (${where})`, id, what));

/**
 * A voted branch that a failover lost: nobody can mend it, but it must be known. Unless the new server has given its
 * xid to somebody else, who has committed: by its xid alone the branch is known (src/recovery/failover-check.ts).
 */
const detected: Rule = (ledger) => {
  const recorded = new Set(
    ledger.heuristics.filter(({ where }) => where === 'log').map(({ id }) => id),
  );
  return [...ledger.lost].flatMap(([participant, { votes }]) =>
    [...votes]
      .filter((id) => ledger.decisions.get(id)?.outcome === 'commit' && !recorded.has(id))
      .filter((id) => !ledger.handedOutAgain.has(`${participant} ${id}`))
      .map((id) => violation('I23 lost and not recorded', id, `its branch on ${participant}`)),
  );
};

/** I24: a branch that an operator has rolled back against a commit is on record, and its caller knows at last. */
const byHand: Rule = (ledger) =>
  [...ledger.forcedAgainst].flatMap(([id, { wanted }]) => {
    const seen = ledger.seen.get(id);
    const isRollback = wanted === 'rollback' && ledger.decisions.get(id)?.outcome === 'commit';
    if (!isRollback || seen === undefined || standing(seen) === 'whole') return [];
    return ledger.excused(id, seen)
      ? []
      : [violation('I23 forced and not recorded', id, `markers: ${standing(seen)}`)];
  });

const rest: Rule = (ledger) => ledger.plain.map(({ rule, id, what }) => violation(rule, id, what));

/** I26: a run in which too little happened proves nothing. */
const vacuity: Rule = (ledger) => {
  const { least } = ledger;
  const found: Violation[] = [];
  const { ok, fail, info } = ledger.counts;
  if (ok < least.ok)
    found.push(violation('I26 vacuous', '', `${ok} commits, expected ${least.ok}`));
  if (fail < least.fail)
    found.push(violation('I26 vacuous', '', `${fail} aborts, expected ${least.fail}`));
  if (info < least.info)
    found.push(violation('I26 vacuous', '', `${info} unknown, expected ${least.info}`));
  for (const fault of least.faults) {
    if ((ledger.faults.get(fault) ?? 0) === 0) found.push(violation('I26 never fired', '', fault));
  }
  for (const verb of least.verbs ?? []) {
    const wasRun = [...ledger.verbs.keys()].some((one) => /^(.*), \d+$/.exec(one)?.[1] === verb);
    if (!wasRun) found.push(violation('I26 never run', '', `pgxa ${verb}`));
  }
  for (const type of least.types) {
    if ((ledger.types.get(type) ?? 0) === 0) found.push(violation('I26 never run', '', type));
  }
  return found;
};

const RULES: readonly Rule[] = [
  agreement, answers, hooks, doomed, keys, money, order, register, heuristics, detected, byHand, rest, vacuity,
]; // prettier-ignore

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly ledger: Ledger;
}

export async function check(events: AsyncIterable<unknown> | Iterable<unknown>): Promise<Verdict> {
  const ledger = await summarise(events);
  return { violations: RULES.flatMap((rule) => rule(ledger)), ledger };
}
