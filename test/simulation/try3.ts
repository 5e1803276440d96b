import { runSchedule } from './schedule.ts';
setImmediate(() => {
  process.on('unhandledRejection', (e) => {
    console.log('UNH', (e as Error).stack, (e as { participant?: string }).participant);
  });
  runSchedule(Number(process.argv[2]));
});
