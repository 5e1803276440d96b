// Cleans up after a process that started servers and died, however it died. It is detached, reads
// one JSON object per line from its owner, and acts when the pipe ends. It kills only processes it
// was told about (the same pid and start time) and removes only directories with our marker.
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { killTree, lookAt, removeSharedMemory } from './process-tree.mjs';

const directories = new Set();
const servers = new Map();

// A terminal's Ctrl-C, or a runner that ends its group, must not end the one who cleans up.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => undefined);

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.directory !== undefined) directories.add(message.directory);
  if (message.server !== undefined) servers.set(message.server.pid, message.server.startTime);
  if (message.stopped !== undefined) servers.delete(message.stopped);
  if (message.removed !== undefined) directories.delete(message.removed);
}

const killed = [];
for (const [pid, startTime] of servers) {
  if (lookAt(pid)?.startTime === startTime) killed.push(...killTree(pid));
}
const end = Date.now() + 10_000;
while (killed.some((pid) => lookAt(pid) !== undefined) && Date.now() < end) {
  await delay(10);
}
for (const directory of directories) {
  if (!existsSync(join(directory, '.pgxa-test-server'))) continue;
  removeSharedMemory(join(directory, 'data'));
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
}
