import { EXIT, type ExitCode } from '../exit-codes.ts';

/** Why there can be no sandbox, with what to do about it. */
export class SandboxProblem extends Error {
  override readonly name = 'SandboxProblem';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
