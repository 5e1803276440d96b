/** The daemon that is measured. Answers every message with what it has used so far. */
import { createRecoveryDaemon } from '../../dist/src/index.js';

const daemon = await createRecoveryDaemon(JSON.parse(process.argv[2]));
process.on('message', () => {
  globalThis.gc();
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed } = process.memoryUsage();
  process.send({
    cpuMs: (user + system) / 1_000,
    rssMb: rss / 2 ** 20,
    heapMb: heapUsed / 2 ** 20,
  });
});
process.once('SIGTERM', () => {
  void daemon.stop().then(() => process.exit(0));
});
await daemon.whenReady;
process.send('ready');
