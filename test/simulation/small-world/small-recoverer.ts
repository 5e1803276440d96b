/** A recoverer that makes one pass over each participant, one after the other, as the daemon does for each. */
import { publish } from '../../../src/events.ts';
import { Recoverer } from '../../../src/recovery/recoverer.ts';
import { open, runtimeOf, type Opened, type Stage } from '../actors.ts';
import type { SimulatedProcess } from '../process.ts';

export class SmallRecoverer {
  readonly process: SimulatedProcess;
  readonly #stage: Stage;
  #opened: Opened | undefined;
  isDone = false;

  constructor(process: SimulatedProcess, stage: Stage) {
    this.process = process;
    this.#stage = stage;
    process.deliver(() => {
      void open(process, stage).then((opened) => {
        this.#opened = opened;
      });
    });
  }

  begin(): void {
    this.process.deliver(() => {
      void this.#passes();
    });
  }

  async #passes(): Promise<void> {
    for (const participant of this.#stage.participants) {
      await this.#recoverer().recoverParticipant(participant);
    }
    this.isDone = true;
  }

  /** Each pass is made by one that remembers nothing of the one before it. */
  #recoverer(): Recoverer {
    if (this.#opened === undefined) throw new Error(`${this.process.name} is not open yet`);
    const { config, log, participants } = this.#opened;
    return new Recoverer({
      log,
      participants,
      local: { isOwnEpoch: () => false, isAtWorkOn: () => false },
      heartbeatLimitMs: config.heartbeatLimitMs,
      runtime: runtimeOf(this.process),
      publish,
      name: 'recoverer',
    });
  }
}
