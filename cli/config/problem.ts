/** Where in the configuration: keys from the top. */
export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  readonly message: string;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** Of the file, counted from 1; undefined where the file does not tell. */
  readonly line?: number | undefined;
}

/** Everything that is wrong with a configuration file, all of it at once. */
export class ConfigFileError extends Error {
  override readonly name = 'ConfigFileError';
  readonly file: string | undefined;
  readonly problems: readonly Problem[];

  constructor(file: string | undefined, problems: readonly Problem[]) {
    const lines = problems.map((problem) => describe(file, problem));
    super(lines.length === 1 ? String(lines[0]) : `${lines.length} problems\n${lines.join('\n')}`);
    this.file = file;
    this.problems = problems;
  }
}

function describe(file: string | undefined, { path, message, hint, line }: Problem): string {
  const place = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
  const key = path.length === 0 ? '' : `${path.join('.')}: `;
  return `${place}${key}${message}${hint === undefined ? '' : ` (${hint})`}`;
}
