import type { WalRecord, Xact } from './data.ts';
import type { Session } from './session.ts';

/** The answer of a statement that ends a transaction; without `end` there was nothing to write. */
export interface EndOfXact {
  readonly tag: string;
  readonly end: { readonly record: WalRecord; readonly xact: Xact } | undefined;
}

/** Carries out what is durable now: a commit of the session, or the end of a prepared transaction. */
export function endXact(session: Session, { record, xact }: NonNullable<EndOfXact['end']>): void {
  const { server } = session;
  switch (record.kind) {
    case 'prepare': {
      // It was listed since its flush, busy; its locks stay with it.
      const prepared = server.data.prepared.get(record.gid);
      if (prepared === undefined) server.carryOut(record);
      else prepared.busy = false;
      server.running.delete(xact);
      if (session.xact === xact) session.leaveXact();
      return;
    }
    case 'commit-prepared':
    case 'rollback-prepared':
      server.carryOut(record);
      server.locks.release(xact);
      return;
    case 'commit':
    case 'abort':
      server.carryOut(record);
      server.running.delete(xact);
      server.locks.release(xact);
      if (session.xact === xact) session.leaveXact();
  }
}
