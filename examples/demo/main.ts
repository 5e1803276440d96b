/**
 * npm run demo: transfers between two databases, with a coordinator that is killed in the middle.
 * Exit code 0: all went as it has to. Whatever happens, everything that was started is removed again.
 */
import { Cleanup } from './cleanup.ts';
import { play } from './play.ts';
import { Screen } from './screen.ts';

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const LIMIT_MS = 55_000;

// Servers of its own, from the npm package, whatever the tests are set to.
process.env['PGXA_TEST_PROVIDER'] = 'embedded';

const screen = new Screen(process.stdout);
const cleanup = new Cleanup();

const interrupted = new Promise<number>((resolve) => {
  let first = true;
  for (const [name, exitCode] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      // Who asks twice does not want to wait: the reaper of the servers cleans up behind us.
      if (!first) process.exit(exitCode);
      first = false;
      resolve(exitCode);
    });
  }
  // Nobody reads any more: `npm run demo | head`.
  process.stdout.on('error', () => {
    resolve(1);
  });
});

async function run(): Promise<number> {
  try {
    return (await play(screen, cleanup)) ? 0 : 1;
  } catch (error) {
    // With Ctrl-C a terminal ends the coordinator too: wait for our own signal to have the last word.
    await new Promise((resolve) => setTimeout(resolve, 100));
    throw error;
  }
}

async function overdue(): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, LIMIT_MS));
  throw new Error(`not done after ${LIMIT_MS / 1_000} s`);
}

let exitCode = 1;
try {
  exitCode = await Promise.race([interrupted, overdue(), run()]);
  screen.stopProgress();
} catch (error) {
  screen.stopProgress();
  screen.failed(error instanceof Error ? error.message : String(error));
}
if (exitCode > 128) screen.say('interrupted: removing the servers');
screen.mute();
await cleanup.run();
process.exit(exitCode);
