/** A TypeScript program in a process of its own that writes one JSON line per event. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface JsonChild<Event> {
  readonly process: ChildProcess;
  readonly events: readonly Event[];
  /** Resolves with the signal or exit code once the process and its output have ended. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
}

/** @param script relative to test/ */
export function startChild<Event>(script: string, plan: unknown): JsonChild<Event> {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const events: Event[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => events.push(JSON.parse(line) as Event));
  const ended = Promise.all([once(child, 'exit'), once(lines, 'close')]).then(
    ([[code, signal]]) => (signal ?? code) as NodeJS.Signals | number | null,
  );
  return { process: child, events, ended };
}

/** Runs all of them, so many at a time; in order of the items. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  atOnce: number,
  act: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(atOnce, items.length) }, async () => {
      while (next < items.length) {
        const index = next;
        next += 1;
        results[index] = await act(items[index] as Item, index);
      }
    }),
  );
  return results;
}
