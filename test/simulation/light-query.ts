import type { Answer } from './postgres/replies.ts';

export interface QueryConfig {
  readonly text: string;
  readonly values?: readonly unknown[];
  readonly name?: string;
  readonly queryMode?: string;
}

export interface LightResult {
  readonly command: string | null;
  readonly rowCount: number | null;
  readonly oid: null;
  readonly rows: Record<string, unknown>[];
  readonly fields: readonly unknown[];
}

export type QueryCallback = (error: Error | null, result?: LightResult) => void;

/** pg's Query: takes the reply to one statement. A reply comes whole here, at its completion. */
export class LightQuery {
  readonly config: QueryConfig;
  callback: QueryCallback | undefined;
  #result: LightResult | undefined;

  constructor(
    config: QueryConfig | string,
    values?: readonly unknown[] | QueryCallback,
    callback?: QueryCallback,
  ) {
    const given: QueryConfig = typeof config === 'string' ? { text: config } : config;
    if (typeof values === 'function') {
      this.config = given;
      this.callback = values;
    } else {
      this.config = values === undefined ? given : { ...given, values };
      this.callback = callback;
    }
  }

  /** As pg sends it: a text alone is a simple query. */
  get isSimple(): boolean {
    const { queryMode, name, values } = this.config;
    const isBare = name === undefined && (values === undefined || values.length === 0);
    return isBare && queryMode !== 'extended';
  }

  handleCommandComplete(answer: Answer): void {
    const { command, rowCount } = tagOf(answer.tag);
    this.#result = {
      command,
      rowCount,
      oid: null,
      rows: rowsOf(answer),
      fields: answer.fields ?? [],
    };
  }

  handleError(error: Error): void {
    this.callback?.(error);
  }

  handleReadyForQuery(): void {
    this.callback?.(null, this.#result);
  }
}

const TAG = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/;

type Tag = Pick<LightResult, 'command' | 'rowCount'>;

/** A few dozen. */
const tags = new Map<string, Tag>();

function tagOf(text: string): Tag {
  const known = tags.get(text);
  if (known !== undefined) return known;
  const [, command = null, second, third] = TAG.exec(text) ?? [];
  const count = third ?? second;
  const tag = { command, rowCount: count === undefined ? null : Number(count) };
  tags.set(text, tag);
  return tag;
}

function rowsOf({ fields, rows }: Answer): Record<string, unknown>[] {
  if (fields === undefined || rows === undefined) return [];
  return rows.map((values) => {
    const row: Record<string, unknown> = {};
    for (let at = 0; at < fields.length; at += 1) {
      const field = fields[at];
      const value = values[at] ?? null;
      if (field === undefined) continue;
      if (value === null) row[field.name] = null;
      else row[field.name] = typeof value === 'string' ? field.parse(value) : value.json;
    }
    return row;
  });
}
