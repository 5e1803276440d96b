import type { Cancelled } from '../cancellation.ts';
import type { PoolClientLike } from '../postgres/client.ts';
import type { Runtime } from '../runtime.ts';
import type { Backend } from '../states.ts';
import type { BranchSession } from './branch-session.ts';

/** What a branch asks of its participant. */
export interface BranchHost {
  readonly name: string;
  readonly lockTimeoutMs: number;
  readonly runtime: Runtime;
  /** A client that is idle and on the registered server, with the facts of its session. */
  acquire(signal: Cancelled): Promise<BranchSession>;
  /** The session as it is now: behind a pooler it may be another one than before. */
  sessionOf(client: PoolClientLike): Promise<BranchSession>;
  /** Something took away what the session was given: it is not given again. */
  leaveSessionsAlone(): void;
  /** Ends a backend whose client is gone, in the background. */
  fenceLater(backend: Backend): void;
}
