/** Of the states that are known, those that have a run which stands in them: it goes on from there at once. */
const LIVING_MAX = 400;

export interface CanLive<Run> {
  live: Run | undefined;
}

/** The last few: a run that is not kept is made again from its path. */
export class Living<Run, Node extends CanLive<Run>> {
  readonly #nodes: Node[] = [];

  keep(node: Node, run: Run): void {
    node.live = run;
    this.#nodes.push(node);
    if (this.#nodes.length <= LIVING_MAX) return;
    const oldest = this.#nodes.shift();
    if (oldest !== undefined) oldest.live = undefined;
  }
}
