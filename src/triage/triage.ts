/** What an operator can ask and do. One object for one look: it holds connections until it is closed. */
import type { Publish } from '../events.ts';
import { explain, type Explanation } from './explain.ts';
import { find, type Found } from './find.ts';
import type { Survey } from './model.ts';
import { takeSurvey, type SurveyOptions } from './survey.ts';

export interface TriageOptions extends SurveyOptions {
  readonly actor: string;
  readonly publish: Publish;
  readonly close: () => Promise<void>;
}

export class Triage implements AsyncDisposable {
  readonly #options: TriageOptions;

  constructor(options: TriageOptions) {
    this.#options = options;
  }

  /** Everything in doubt, on all participants at once. Never rejects: what does not answer is in it. */
  survey(): Promise<Survey> {
    return takeSurvey(this.#options);
  }

  /** The transaction or foreign branch that is meant by an id, a gid, or a prefix of one. */
  async find(id: string): Promise<Found> {
    return find(id, (about) => takeSurvey(this.#options, about));
  }

  /** Everything about one, in plain words; asks the servers for locks, and for rows if it is told to. */
  explain(found: Found, wanted: { readonly rows: boolean }): Promise<Explanation> {
    return explain(found, this.#options.inspectors, wanted);
  }

  /** Ends all connections. Never rejects. */
  close(): Promise<void> {
    return this.#options.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
