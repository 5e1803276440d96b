/** A change of one text in one file of src. */
export interface Patch {
  /** Path below src. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * The text of a file with those changes that are for it. Throws if one of them is not for exactly one place: it would change
 * something else than it is meant to, or nothing.
 */
export function patched(file: string, text: string, patches: readonly Patch[]): string {
  let changed = text;
  for (const { from, to } of patches.filter((patch) => patch.file === file)) {
    if (changed.split(from).length !== 2) {
      throw new Error(`the patch of ${file} does not apply once: ${from}`);
    }
    changed = changed.replace(from, () => to);
  }
  return changed;
}
