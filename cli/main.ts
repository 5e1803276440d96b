#!/usr/bin/env node
import { runProgram } from './program.ts';

const output = { isLost: false };
// Who reads may have read enough (`pgxa list | head -1`): what was asked for is carried out all the same, and the
// exit code says how it ended.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    if (stream === process.stdout) process.stderr.write(`pgxa: stdout: ${error.message}\n`);
    output.isLost = true;
    process.exitCode = 1;
  });
}

const exitCode = await runProgram(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  // Opened by the first question, not before.
  get stdin() {
    return process.stdin;
  },
  env: process.env,
  cwd: process.cwd(),
});
// Set and not called: what has been written to a pipe must reach it first.
if (!output.isLost) process.exitCode = exitCode;
