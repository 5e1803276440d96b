/**
 * A daemon in a process of its own, to be killed and frozen. Argument: its RecoveryDaemonConfig as JSON. Writes
 * one JSON line per event to stdout; ends on SIGTERM.
 */
import { createRecoveryDaemon, subscribe, type RecoveryDaemonConfig } from '../../src/index.ts';

function say(event: string, more: object = {}): void {
  process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
}

subscribe('branch:finished', ({ transactionId }) => {
  say('finished', { transactionId });
});
subscribe('recovery:lease', ({ participant, held }) => {
  say('lease', { participant, held });
});
subscribe('heuristic:found', (found) => {
  say('heuristic', found);
});
const daemon = await createRecoveryDaemon(
  JSON.parse(process.argv[2] ?? '') as RecoveryDaemonConfig,
);
process.once('SIGTERM', () => {
  void daemon.stop();
});
await daemon.whenReady;
say('ready');
