/** What the harness tells a worker process, and how a worker speaks. */
import type { TransactionManagerConfig } from '../../src/index.ts';
import type { WorkerEvent } from './history.ts';

export interface WorkerPlan {
  readonly name: string;
  readonly seed: number;
  readonly logUrl: string;
  readonly participants: Readonly<Record<string, string>>;
  readonly heartbeatLimitMs: number;
  /** Coordinators: transactions at a time. */
  readonly concurrency: number;
  /** Daemons: between two passes. Operators: between two looks. */
  readonly intervalMs: number;
  /** Operators: the compiled command line, and its configuration. */
  readonly cli: string;
  readonly configFile: string;
  /** Operators: may roll back what the log has decided to commit. */
  readonly forcesAgainst: boolean;
}

export function readPlan(): WorkerPlan {
  return JSON.parse(process.argv[2] ?? '') as WorkerPlan;
}

/** Synchronous on a pipe: what was said survives a SIGKILL right behind it. */
export function say(event: WorkerEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

export function managerConfig(plan: WorkerPlan): TransactionManagerConfig {
  return {
    coordinator: plan.name,
    decisionLog: { connectionString: plan.logUrl },
    participants: Object.fromEntries(
      Object.entries(plan.participants).map(([name, connectionString]) => [
        name,
        { connectionString, max: Math.max(2, plan.concurrency), lockTimeoutMs: 700 },
      ]),
    ),
    heartbeatLimitMs: plan.heartbeatLimitMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  };
}

const CONNECT_TIMEOUT_MS = 3_000;

/** The same as a file for `pgxa`: JSON is YAML. */
export function configText(plan: Omit<WorkerPlan, 'configFile'>, httpPort: number): string {
  return JSON.stringify({
    decisionLog: { connectionString: plan.logUrl },
    participants: Object.fromEntries(
      Object.entries(plan.participants).map(([name, connectionString]) => [
        name,
        { connectionString },
      ]),
    ),
    heartbeatLimitMs: plan.heartbeatLimitMs,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    daemon: {
      name: plan.name,
      intervalMs: plan.intervalMs,
      leaseMs: 2_000,
      http: { port: httpPort },
    },
  });
}

/** Resolves when the harness asks the worker to end. */
export function askedToEnd(): { readonly asked: () => boolean; readonly done: Promise<void> } {
  let asked = false;
  const done = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => {
      asked = true;
      resolve();
    });
  });
  return { asked: () => asked, done };
}

export function describe(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    const { code } = current as { code?: unknown };
    const coded = typeof code === 'string' ? ` ${code}` : '';
    parts.push(`${current.name}${coded}: ${current.message}`);
    current = current.cause;
  }
  return parts.length === 0 ? String(error) : parts.join(' <- ');
}
