import { hostname } from 'node:os';
import { z } from 'zod';

import { daemonSchema } from '../../src/config.ts';

/** What of the file a verb cannot do without. */
export type Needs = 'daemon' | 'log';

/** With them and no token, everybody on the network could read what the daemon tells. */
const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export const DEFAULT_PORT = 9742;

const httpSchema = z
  .strictObject({
    host: z.string().min(1).default('127.0.0.1'),
    port: z.number().int().min(0).max(65_535).default(DEFAULT_PORT),
    token: z.string().min(16, 'expected at least 16 characters').optional(),
  })
  .refine(({ host, token }) => token !== undefined || LOOPBACK.test(host), {
    path: ['host'],
    message: 'an address that others can reach needs daemon.http.tokenFile (or token)',
  });

const library = daemonSchema.shape;

/** The settings of the library, in the shape of the file; its limits and defaults are the library's. */
export const fileSchema = z.strictObject({
  decisionLog: library.decisionLog,
  participants: library.participants.default({}),
  heartbeatLimitMs: library.heartbeatLimitMs,
  connectTimeoutMs: library.connectTimeoutMs,
  daemon: z
    .strictObject({
      name: library.name.default(() => hostname()),
      intervalMs: library.intervalMs,
      leaseMs: library.leaseMs,
      retentionDays: library.retentionDays,
      http: z.union([z.literal(false), httpSchema]).prefault({}),
      log: z.enum(LOG_LEVELS).default('info'),
    })
    .prefault({}),
});

export type FileSettings = z.output<typeof fileSchema>;
export type HttpSettings = z.output<typeof httpSchema>;
export type LogLevel = (typeof LOG_LEVELS)[number];
