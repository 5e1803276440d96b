/** What has become of a transaction id, and on whose word (invariant 6). */
import { toError } from '../errors.ts';
import type { ConnectionGroup } from '../postgres/dedicated-connection.ts';
import { assertReplicated } from '../postgres/unconfirmed.ts';
import type { ServerIdentity, XactStatus } from '../states.ts';
import type { FateHere } from './participant.ts';
import {
  onlyRow,
  SERVER_FACTS_SQL,
  STATUS_BARRIER_SQL,
  type ServerFacts,
  type ServerFactsRow,
} from './server-facts.ts';
import { sqlstateOf } from './sqlstate.ts';

/** 22023: the server that answers never issued that xid, so it is not the one that did, or lost it. */
const NEVER_ISSUED = '22023';

interface XactRow extends ServerFactsRow {
  readonly status: XactStatus | null;
}

export interface XactAnswer {
  readonly server: ServerIdentity | undefined;
  readonly status: XactStatus;
  readonly incarnation: string | undefined;
}

const XACT_STATUS_SQL = `
  select facts.*, pg_xact_status($1::xid8) as status
    from (${SERVER_FACTS_SQL}) facts`;

export class XactFates {
  readonly #name: string;
  readonly #connections: ConnectionGroup;
  readonly #isRegistered: (server: ServerIdentity | undefined) => boolean;

  constructor(
    name: string,
    connections: ConnectionGroup,
    isRegistered: (server: ServerIdentity | undefined) => boolean,
  ) {
    this.#name = name;
    this.#connections = connections;
    this.#isRegistered = isRegistered;
  }

  /** Identity and status in one statement: two could reach two servers, with a failover in between. */
  async status(xid: string): Promise<XactAnswer> {
    try {
      const [asked, proof] = await this.#connections.runAdjacent<XactRow>([
        { text: XACT_STATUS_SQL, values: [xid] },
        { text: STATUS_BARRIER_SQL, values: [xid] },
      ]);
      if (asked?.status !== 'fulfilled') throw toError(asked?.reason);
      const { rows } = asked.value;
      const facts = onlyRow(rows);
      const server = facts.inRecovery ? undefined : facts.server;
      if (!this.#isRegistered(server)) this.#connections.renew();
      const status = (server === undefined ? undefined : rows[0]?.status) ?? 'no-information';
      if (status === 'committed') assertReplicated(proof);
      return { server, status, incarnation: facts.incarnation };
    } catch (error) {
      if (sqlstateOf(error) !== NEVER_ISSUED) throw error;
      const facts = await this.#whoNeverIssued(xid);
      const server = facts.inRecovery ? undefined : facts.server;
      if (!this.#isRegistered(server)) this.#connections.renew();
      return { server, status: 'no-information', incarnation: undefined };
    }
  }

  /**
   * An error has no row that tells which server it is from, and by the next connection the name may lead home
   * again: so the id is asked for once more, on the session that says who it is.
   */
  async #whoNeverIssued(xid: string): Promise<ServerFacts> {
    const [who, again] = await this.#connections.runAdjacent<ServerFactsRow>([
      { text: SERVER_FACTS_SQL },
      { text: XACT_STATUS_SQL, values: [xid] },
    ]);
    if (who?.status !== 'fulfilled') throw toError(who?.reason);
    if (again?.status !== 'rejected') {
      throw new Error(
        `participant "${this.#name}" answers differently when asked for xid ${xid} again`,
      );
    }
    if (sqlstateOf(again.reason) !== NEVER_ISSUED) throw toError(again.reason);
    return onlyRow(who.value.rows);
  }

  /** What the server that answers says of it, whatever history the id is from. */
  async here(xid: string): Promise<{ server: ServerIdentity; fate: FateHere }> {
    const standby = new Error(`participant "${this.#name}" answers as a standby`);
    try {
      const { rows } = await this.#connections.run<XactRow>({
        text: XACT_STATUS_SQL,
        values: [xid],
      });
      const { inRecovery, server } = onlyRow(rows);
      if (inRecovery) throw standby;
      const status = rows[0]?.status ?? 'too-old';
      return { server, fate: status === 'no-information' ? 'too-old' : status };
    } catch (error) {
      if (sqlstateOf(error) !== NEVER_ISSUED) throw error;
      const { inRecovery, server } = await this.#whoNeverIssued(xid);
      if (inRecovery) throw standby;
      return { server, fate: 'never-issued' };
    }
  }
}
