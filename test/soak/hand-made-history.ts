/** Histories made by hand, for the tests of the checkers: a sound one, and ways to plant something in it. */
import { ACCOUNTS, START_BALANCE, type SoakEvent } from './history.ts';

const PARTICIPANTS = ['orders', 'billing'];
export type Event = Record<string, unknown> & { kind: string };

export interface Story {
  events: Event[];
  /** Balance and version changes of account 1, by participant. */
  readonly markers: {
    participant: string;
    id: string;
    version: number;
    amount: number;
    key?: string;
  }[];
}

const marker = (
  participant: string,
  id: string,
  version: number,
  amount: number,
  key?: string,
) => ({
  participant,
  id,
  version,
  amount,
  ...(key === undefined ? {} : { key }),
});

/** Two transfers that were committed, one that was rolled back, one whose caller was told "unknown". */
export function soundStory(): Story {
  const begun = (id: string, run: number, more: object = {}): Event => ({
    kind: 'begun', id, run, type: 'two-writers', writers: PARTICIPANTS, ...more,
  }); // prettier-ignore
  return {
    events: [
      { kind: 'configured', seed: 1, settings: { least: { ok: 1, fail: 1, info: 1 } } },
      { kind: 'planted-foreign', participant: 'orders', gids: ['foreign'] },
      begun('a', 1, { key: 'k' }),
      { kind: 'hook', id: 'a', hook: 'committed' },
      { kind: 'ok', id: 'a', run: 1 },
      begun('b', 2),
      { kind: 'ok', id: 'b', run: 2 },
      begun('c', 3),
      { kind: 'hook', id: 'c', hook: 'rolled-back' },
      { kind: 'fail', id: 'c', run: 3, code: 'PGXA_VOTE_NO', why: '' },
      begun('d', 4),
      { kind: 'info', id: 'd', run: 4, why: '' },
      { kind: 'outcome', id: 'd', outcome: 'committed' },
      { kind: 'fault', fault: 'kill', times: 1 },
      { kind: 'verb', verb: 'list', code: 5, ms: 1 },
      { kind: 'verb', verb: 'force rollback', code: null, ms: 1 },
      { kind: 'quiet', afterMs: 10 },
      ...['a', 'b', 'd'].map((id) => ({
        kind: 'final-decision',
        id,
        outcome: 'commit',
        by: 'coordinator',
      })),
      { kind: 'final-decision', id: 'c', outcome: 'abort', by: 'recovery' },
      { kind: 'final-foreign', participant: 'orders', gids: ['foreign'] },
    ],
    markers: ['a', 'b', 'd'].flatMap((id, index) => [
      marker('orders', id, index + 1, -2, id === 'a' ? 'k' : undefined),
      marker('billing', id, index + 1, 2, id === 'a' ? 'k' : undefined),
    ]),
  };
}

/** With the reads that the markers make, so that only what was planted is wrong. */
export function historyOf(
  story: Story,
  reads: (events: Event[]) => Event[] = (same) => same,
): SoakEvent[] {
  const finals = PARTICIPANTS.flatMap((participant): Event[] => {
    const here = story.markers.filter((one) => one.participant === participant);
    const sum = here.reduce((total, { amount }) => total + amount, 0);
    const accounts = Array.from({ length: ACCOUNTS }, (_, index) => ({
      id: index + 1,
      balance: START_BALANCE + (index === 0 ? sum : 0),
      version: index === 0 ? here.length : 0,
    }));
    const rows = here.map(({ id, version, amount, key }) => ({
      kind: 'final-marker',
      participant,
      row: { id, account: 1, version, amount, writers: PARTICIPANTS, key: key ?? null },
    }));
    return [...rows, { kind: 'final-accounts', participant, accounts }];
  });
  const all = reads([...story.events, ...finals]);
  return all.map((event, index) => ({ index, atMs: index, process: 'test', ...event })) as never;
}

export const find = (story: Story, kind: string, id: string): Event => {
  const found = story.events.find((event) => event.kind === kind && event['id'] === id);
  if (found === undefined) throw new Error(`no ${kind} of ${id}`);
  return found;
};
export const drop = (story: Story, id: string, participant?: string): void => {
  const kept = story.markers.filter(
    (one) => one.id !== id || (participant !== undefined && one.participant !== participant),
  );
  story.markers.splice(0, story.markers.length, ...kept);
};
