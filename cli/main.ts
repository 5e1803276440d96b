#!/usr/bin/env node
import { runProgram } from './program.ts';

// Set and not called: what has been written to a pipe must reach it first.
process.exitCode = await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  // Opened by the first question, not before.
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  cwd: process.cwd(),
});
