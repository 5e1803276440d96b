import { describe, expect, it } from 'vitest';

import { check } from './checkers.ts';
import { drop, find, historyOf, soundStory, type Event, type Story } from './hand-made-history.ts';
import type { SoakEvent } from './history.ts';
import type { Least } from './ledger.ts';

const rulesOf = async (history: SoakEvent[]): Promise<string[]> =>
  [...new Set((await check(history)).violations.map(({ rule }) => rule))].sort();

/** The sound story, changed. */
async function planted(change: (story: Story) => void): Promise<string[]> {
  const story = soundStory();
  change(story);
  return rulesOf(historyOf(story));
}

const daemon = (more: object): Event => ({
  kind: 'final-daemon', who: 'daemon-1', isReady: true, inDoubt: 0, heuristics: { counted: 0, told: 0 }, ...more,
}); // prettier-ignore

/**
 * No servers: histories made by hand. A sound one has no violation; each other one is the sound one with one
 * thing planted in it, and the checkers must find exactly that.
 */
describe('the checkers of the soak', () => {
  it('a sound history: no violation', async () => {
    expect(await planted(() => undefined)).toEqual([]);
  });

  const PLANTED: readonly [string, readonly string[], (story: Story) => void][] = [
    ['a branch is missing', ['I1 torn', 'I2 decided commit', 'I6 outcomeOf', 'I7 sum'], (story) => {
      drop(story, 'd', 'billing');
    }],
    ['told committed, and nothing is there', ['I2 decided commit', 'I6 told committed', 'I8 versions'], (story) => { drop(story, 'b'); }],
    ['told rolled back, and it is there', ['I6 told rolled back', 'hooks'], (story) => {
      find(story, 'ok', 'a').kind = 'fail';
    }],
    ['outcomeOf says aborted, and it is there', ['I6 outcomeOf'], (story) => {
      find(story, 'outcome', 'd')['outcome'] = 'aborted';
    }],
    ['outcomeOf changes its mind', ['I2 outcomeOf changed', 'I6 outcomeOf'], (story) => {
      story.events.push({ kind: 'outcome', id: 'd', outcome: 'aborted' });
    }],
    ['outcomeOf contradicts what the caller was told', ['I2 outcomeOf', 'I6 outcomeOf'], (story) => {
      story.events.push({ kind: 'outcome', id: 'c', outcome: 'committed' });
    }],
    ['two answers to one caller', ['I2 two answers', 'I6 told rolled back'], (story) => {
      story.events.push({ kind: 'fail', id: 'b', run: 2, code: 'PGXA_TIMEOUT', why: '' });
    }],
    ['a hook against the answer', ['hooks'], (story) => { find(story, 'hook', 'a')['hook'] = 'rolled-back'; }],
    ['both hooks', ['hooks'], (story) => {
      story.events.push({ kind: 'hook', id: 'a', hook: 'rolled-back' });
    }],
    ['the register says abort, the rows are there', ['I2 decided abort', 'I10 no decision'], (story) => {
      find(story, 'final-decision', 'a')['outcome'] = 'abort';
    }],
    ['committed without a decision', ['I10 no decision'], (story) => {
      story.events = story.events.filter((event) => event.kind !== 'final-decision' || event['id'] !== 'b');
    }],
    ['a key that is used twice', ['I8 key used twice'], (story) => { find(story, 'begun', 'b')['key'] = 'k'; }],
    ['already done by one that did not', ['I8 already done'], (story) => {
      Object.assign(find(story, 'fail', 'c'), { existing: 'b', key: 'k' });
    }],
    ['an update that was lost', ['I8 versions'], (story) => {
      for (const one of story.markers) if (one.id === 'd') Object.assign(one, { version: 2 });
    }],
    ['money is made', ['I7 sum'], (story) => {
      for (const one of story.markers) if (one.id === 'd' && one.participant === 'orders') Object.assign(one, { amount: 0 });
    }],
    ['two orders on two participants', ['I9 order'], (story) => {
      for (const one of story.markers) {
        if (one.participant === 'billing' && one.id !== 'd') Object.assign(one, { version: one.id === 'a' ? 2 : 1 });
      }
    }],
    ['a commit in spite of a no', ['I3 committed in spite of a no'], (story) => {
      find(story, 'begun', 'a')['type'] = 'deferred-violation';
    }],
    ['an orphan of a deferred constraint', ['I3 deferred constraint'], (story) => {
      story.events.push({ kind: 'final-children', participant: 'orders', count: 1 });
    }],
    ['markers of nobody', ['I1 never begun'], (story) => {
      story.events = story.events.filter((event) => event.kind !== 'begun' || event['id'] !== 'b');
    }],
    ['a heuristic row', ['I16 heuristic (log)'], (story) => {
      story.events.push({ kind: 'final-heuristic', id: 'a', row: { kind: 'hazard' } });
    }],
    ['a heuristic event', ['I16 heuristic (test)'], (story) => {
      story.events.push({ kind: 'heuristic-found', id: 'a', participant: 'orders', heuristic: 'hazard', why: '' });
    }],
    ['a heuristic answer', ['I16 heuristic (told)', 'I2 two answers'], (story) => {
      story.events.push({ kind: 'told-heuristic', id: 'b', run: 2, heuristic: 'mixed', why: '' });
    }],
    ['a foreign branch is gone', ['I14 foreign'], (story) => {
      for (const event of story.events) if (event.kind === 'final-foreign') event['gids'] = [];
    }],
    ['still in doubt', ['I5 still in doubt'], (story) => { story.events.push({ kind: 'not-quiet', left: ['x'] }); }],
    ['a leak', ['I25 leak'], (story) => {
      story.events.push({ kind: 'final-leak', where: 'orders', what: 'a session' });
    }],
    ['a process that ended by itself', ['unexpected end'], (story) => {
      story.events.push({ kind: 'process-ended', who: 'coordinator-1', how: 'exit code 1', expected: false });
    }],
    ['an error of a wrong class', ['unexpected error'], (story) => {
      story.events.push({ kind: 'unexpected', id: 'a', where: 'transaction', why: 'TypeError' });
    }],
    ['a fault that could not be made', ['harness'], (story) => {
      story.events.push({ kind: 'nemesis-failed', fault: 'kill', why: '' });
    }],
  ]; // prettier-ignore
  it.each(PLANTED)('%s: %j', async (_, rules, change) => {
    expect(await planted(change)).toEqual([...rules].sort());
  });

  /** Billing failed over and lost what it had of "d". */
  const lostOnBilling = (story: Story, lost: 'commits' | 'votes'): void => {
    drop(story, 'd', 'billing');
    const none = { commits: [], votes: [] };
    story.events.push({ kind: 'lost-history', participant: 'billing', ...none, [lost]: ['d'] });
  };
  const hazard = { kind: 'final-heuristic', id: 'd', row: { kind: 'hazard' } };

  it('a key that is used again behind a restore of the log that has forgotten it: excused', async () => {
    const verdict = await planted((story) => {
      find(story, 'begun', 'b')['key'] = 'k';
      story.events.push({ kind: 'lost-decisions', ids: ['a'] });
    });
    expect(verdict).toEqual([]);
  });

  it('a failover that lost a commit: excused, and only that transaction', async () => {
    expect(
      await planted((story) => {
        lostOnBilling(story, 'commits');
      }),
    ).toEqual([]);
    const other = await planted((story) => {
      lostOnBilling(story, 'commits');
      drop(story, 'b', 'orders');
    });
    expect(other).toEqual(['I1 torn', 'I2 decided commit', 'I6 told committed', 'I8 versions']);
  });

  it('a failover that lost a vote: excused if it is on record, and not without', async () => {
    const without = await planted((story) => {
      lostOnBilling(story, 'votes');
    });
    expect(without).toEqual(['I23 lost and not recorded']);
    const withRecord = await planted((story) => {
      lostOnBilling(story, 'votes');
      story.events.push(hazard);
    });
    expect(withRecord).toEqual([]);
    const overlooked = await planted((story) => {
      lostOnBilling(story, 'votes');
      story.events.push({ kind: 'handed-out-again', participant: 'billing', ids: ['d'] });
    });
    expect(overlooked).toEqual([]);
    const guessed = await planted((story) => {
      lostOnBilling(story, 'votes');
      story.events.push({ ...hazard, row: { kind: 'rollback' } });
    });
    expect(guessed).toEqual(['I16 heuristic (log)']);
    const proven = await planted((story) => {
      lostOnBilling(story, 'votes');
      story.events.push({ ...hazard, row: { kind: 'rollback', participant: 'billing' } });
    });
    expect(proven).toEqual([]);
    const wrong = await planted((story) => {
      lostOnBilling(story, 'votes');
      story.events.push(hazard, { ...hazard, row: { kind: 'rollback', participant: 'orders' } });
    });
    expect(wrong).toEqual(['I16 heuristic (log)']);
  });

  /** An operator rolled the branch of "d" on billing back, against the decision. */
  const forcedOnBilling = (story: Story, ...stages: readonly string[]): void => {
    drop(story, 'd', 'billing');
    for (const stage of stages) {
      const action = `force rollback ${stage}`;
      story.events.push({ kind: 'final-force', id: 'd', action, decided: 'commit' });
    }
  };
  const byHand = {
    kind: 'final-heuristic',
    id: 'd',
    row: { kind: 'rollback', participant: 'billing' },
  };

  it('an operator forced a rollback: excused if that branch is on record, and not without', async () => {
    const withRecord = await planted((story) => {
      forcedOnBilling(story, 'begins', 'ended');
      story.events.push(byHand);
    });
    expect(withRecord).toEqual([]);
    const without = await planted((story) => {
      forcedOnBilling(story, 'begins', 'ended');
    });
    expect(without).toEqual([
      'I1 torn',
      'I2 decided commit',
      'I23 forced and not recorded',
      'I6 outcomeOf',
    ]);
    const elsewhere = await planted((story) => {
      forcedOnBilling(story, 'begins', 'ended');
      story.events.push({ ...byHand, row: { kind: 'rollback', participant: 'orders' } });
    });
    expect(elsewhere).toEqual(without);
  });

  it('an operator who was told of a branch that nobody could tell: excused, and that branch alone', async () => {
    const endsWith = (...pending: string[]): Promise<string[]> =>
      planted((story) => {
        forcedOnBilling(story, 'begins', 'ended');
        Object.assign(story.events.at(-1) ?? {}, { pending });
      });
    expect(await endsWith('billing')).toEqual([]);
    expect(await endsWith('orders')).toContain('I23 forced and not recorded');
  });

  it('an operator who was killed in the middle: the audit tells, and excuses no other transaction', async () => {
    const killed = await planted((story) => {
      forcedOnBilling(story, 'begins');
    });
    expect(killed).toEqual([]);
    const other = await planted((story) => {
      forcedOnBilling(story, 'begins');
      drop(story, 'b', 'orders');
    });
    expect(other).toContain('I1 torn');
    const asDecided = await planted((story) => {
      drop(story, 'd', 'billing');
      const action = 'force commit begins';
      story.events.push({ kind: 'final-force', id: 'd', action, decided: 'commit' });
    });
    expect(asDecided).toContain('I1 torn');
  });

  it.each<[string, string, Event]>([
    [
      'a record that list does not show',
      'I24 list',
      { kind: 'final-list', open: ['a'], shown: [] },
    ],
    ['list shows what is over', 'I24 list', { kind: 'final-list', open: [], shown: ['a'] }],
    ['a daemon that is not ready', 'I24 daemon', daemon({ isReady: false })],
    ['a daemon that counts a branch in doubt', 'I24 daemon', daemon({ inDoubt: 1 })],
    [
      'a daemon that told of more than it counts',
      'I24 daemon',
      daemon({ heuristics: { counted: 0, told: 1 } }),
    ],
  ])('%s', async (_, rule, event) => {
    expect(await planted((story) => story.events.push(event))).toEqual([rule]);
  });

  it('a log that was restored: excuses a missing row, and nothing else', async () => {
    const rules = await planted((story) => {
      story.events = story.events.filter(
        (event) => event.kind !== 'final-decision' || event['id'] !== 'b',
      );
      story.events.push({ kind: 'lost-decisions', ids: ['b', 'd'] });
      drop(story, 'd', 'billing');
    });
    expect(rules).toEqual(['I1 torn', 'I2 decided commit', 'I6 outcomeOf', 'I7 sum']);
  });

  it.each<[string, Partial<Least>]>([
    ['too few commits', { ok: 3 }],
    ['too few aborts', { fail: 2 }],
    ['too few unknown', { info: 2 }],
    ['a fault that never fired', { faults: ['kill', 'freeze'] }],
    ['a type that never ran', { types: ['two-writers', 'serializable'] }],
    ['a verb that always was killed', { verbs: ['list', 'force rollback'] }],
  ])('a run in which too little happened (%s) fails', async (_, least) => {
    const rules = await planted((story) => {
      Object.assign(story.events[0] ?? {}, { settings: { least } });
    });
    expect(rules).toHaveLength(1);
    expect(rules[0]).toMatch(/^I26/);
  });

  it('a history that ends before the last reads fails', async () => {
    const history = historyOf(soundStory(), (events) =>
      events.filter(({ kind }) => kind !== 'final-accounts'),
    );
    expect(await rulesOf(history)).toContain('harness');
  });

  it('a balance that its transfers do not make', async () => {
    const history = historyOf(soundStory(), (events) =>
      events.map((event) => {
        if (event.kind !== 'final-accounts' || event['participant'] !== 'orders') return event;
        const accounts = (event['accounts'] as { id: number; balance: number }[]).map((one) => ({
          ...one,
          balance: one.balance + (one.id === 5 ? 1 : 0),
        }));
        return { ...event, accounts };
      }),
    );
    expect(await rulesOf(history)).toEqual(['I7 balance', 'I7 sum']);
  });
});
