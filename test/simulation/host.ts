/**
 * What surrounds a simulated process: clock, timers, random bytes, and node-postgres over a simulated wire.
 * They are replaced from outside, so that production code knows nothing of it; each replacement serves the
 * process that is running, and hands everybody else on to the original.
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import pg from 'pg';

import { LightAbortController } from './light-abort.ts';
import { LightClient } from './light-client.ts';
import { LightQuery } from './light-query.ts';
import { runningProcess, type SimulatedTimer } from './process.ts';
import { SimulatedConnection } from './wire.ts';

/** uuid keeps the last time that it saw, over all schedules: virtual days must never go back. */
const FIRST_DAY = 1_800_000_000_000;
const DAY_MS = 10_000_000;
let day = 0;

type AnyFunction = (...args: never[]) => unknown;

/** Which client stands between the code and the simulated network: the same schedule, at another price. */
export type ClientKind = 'pg' | 'light';

/** Installs the surroundings; returns a function that puts everything back. */
export function installHost(client: ClientKind): () => void {
  day += 1;
  const startOfDay = FIRST_DAY + day * DAY_MS;
  replaceBuiltins();
  const restore: (() => void)[] = [];
  const replace: Replace = (owner, key, value) => {
    const original: unknown = Reflect.get(owner, key);
    Reflect.set(owner, key, value);
    restore.push(() => {
      Reflect.set(owner, key, original);
    });
  };
  replaceTimers(replace);
  const dateNow = Date.now;
  replace(Date, 'now', () => {
    const owner = runningProcess();
    return owner === undefined ? dateNow() : Math.floor(startOfDay + owner.scheduler.now);
  });
  replaceRandomValues(replace);
  // pg reads a dozen variables for every client, and each is a call into the system.
  replace(process, 'env', {});
  replacePg(replace, client);
  if (client === 'light') replace(globalThis, 'AbortController', LightAbortController);
  return () => {
    for (const undo of restore.reverse()) undo();
  };
}

type Replace = (owner: object, key: string, value: unknown) => void;

function replaceTimers(replace: Replace): void {
  const { setTimeout: realSet, clearTimeout: realClear } = globalThis;
  replace(globalThis, 'setTimeout', (callback: AnyFunction, ms = 0, ...args: never[]) => {
    const process = runningProcess();
    if (process === undefined) return realSet(callback as never, ms, ...args);
    return process.setTimer(ms, () => callback(...args));
  });
  replace(globalThis, 'clearTimeout', (timer: unknown) => {
    const simulated = timer as Partial<SimulatedTimer> | undefined | null;
    if (simulated?.scheduled === undefined) {
      realClear(timer as never);
      return;
    }
    const process = runningProcess();
    if (process === undefined) simulated.scheduled.run = undefined;
    else process.clearTimer(simulated as SimulatedTimer);
  });
}

let builtinsAreReplaced = false;

/** Named imports of Node's modules: telling them of a replacement is dear, so it is done once, and stays. */
function replaceBuiltins(): void {
  if (builtinsAreReplaced) return;
  builtinsAreReplaced = true;
  const realBytes = crypto.randomBytes as (size: number) => Buffer;
  Reflect.set(crypto, 'randomBytes', (size: number) => {
    const random = runningProcess()?.random;
    if (random === undefined) return realBytes(size);
    const bytes = Buffer.alloc(size);
    for (let index = 0; index < size; index += 1) bytes[index] = random.int(256);
    return bytes;
  });
  // The migrations that pgxa looks for when it opens the log do not change meanwhile.
  const readdir = fs.readdirSync as (...args: unknown[]) => unknown;
  const read = new Map<unknown, unknown>();
  Reflect.set(fs, 'readdirSync', (folder: unknown, ...options: unknown[]) => {
    if (runningProcess() === undefined || options.length > 0) return readdir(folder, ...options);
    const key = String(folder);
    if (!read.has(key)) read.set(key, readdir(folder));
    return read.get(key);
  });
  syncBuiltinESMExports();
}

function replaceRandomValues(replace: Replace): void {
  const realValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto) as (
    array: Uint8Array,
  ) => Uint8Array;
  replace(globalThis.crypto, 'getRandomValues', (array: Uint8Array) => {
    const random = runningProcess()?.random;
    if (random === undefined) return realValues(array);
    for (let index = 0; index < array.length; index += 1) array[index] = random.int(256);
    return array;
  });
}

const RealClient = pg.Client;
const RealPool = pg.Pool;

/** The real client over a connection that ends in the simulated network. */
class SimulatedClient extends RealClient {
  constructor(config?: pg.ClientConfig) {
    super({ ...config, connection: new SimulatedConnection() } as pg.ClientConfig);
  }
}

class SimulatedPool extends RealPool {
  constructor(config?: pg.PoolConfig) {
    super({ ...config, Client: SimulatedClient });
  }
}

/** The real pool, over what stands in for the client. */
class LightPool extends RealPool {
  constructor(config?: pg.PoolConfig) {
    super({ ...config, Client: LightClient as never });
  }
}

function replacePg(replace: Replace, client: ClientKind): void {
  replace(pg, 'Client', client === 'pg' ? SimulatedClient : LightClient);
  replace(pg, 'Pool', client === 'pg' ? SimulatedPool : LightPool);
  if (client === 'light') replace(pg, 'Query', LightQuery);
}
