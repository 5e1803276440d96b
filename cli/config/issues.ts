import { z } from 'zod';

import type { Path, Problem } from './problem.ts';

/** What zod found, one problem per key; it never puts a value, a secret maybe, into a message. */
export function problemsOf(error: z.ZodError, schema: z.ZodType): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path as Path;
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.map((key) => ({
          path: [...path, key],
          message: 'unknown key',
          hint: nearest(key, keysAt(schema, path)),
        }));
      case 'invalid_key':
        return [{ path, message: issue.issues.map(({ message }) => message).join(', ') }];
      case 'invalid_union':
        return unionProblems(issue.errors, path, issue.message);
      default:
        return [{ path, message: plain(issue.message), hint: hintFor(path) }];
    }
  });
}

/** Of the alternatives, the one that came furthest: it is the one that was meant. */
function unionProblems(
  alternatives: readonly (readonly z.core.$ZodIssue[])[],
  path: Path,
  message: string,
): Problem[] {
  const meant = alternatives.find((issues) => issues.some((issue) => issue.path.length > 0));
  if (meant === undefined) return [{ path, message: plain(message), hint: hintFor(path) }];
  return problemsOf(new z.ZodError([...meant]), z.unknown()).map((problem) => ({
    ...problem,
    path: [...path, ...problem.path],
  }));
}

function plain(message: string): string {
  return message
    .replace(/^Invalid input: /, '')
    .replace(/, received undefined$/, ', found nothing');
}

const HINTS: Readonly<Record<string, string>> = {
  decisionLog: 'for example { connectionString: postgresql://pgxa@log.internal/decisions }',
  participants: 'for example { orders: { connectionString: postgresql://pgxa@db1/orders } }',
  password: 'put a number in quotes; or { file: path } or { credential: name }',
};

function hintFor(path: Path): string | undefined {
  return HINTS[String(path.at(-1))];
}

/** The keys that the schema knows at a place. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  let here: unknown = schema;
  for (const key of path) here = childOf(unwrap(here), key);
  const object = unwrap(here);
  return object instanceof z.ZodObject ? Object.keys(object.shape) : [];
}

function childOf(schema: unknown, key: string | number): unknown {
  if (schema instanceof z.ZodObject) return (schema.shape as Record<string, unknown>)[String(key)];
  if (schema instanceof z.ZodRecord) return schema.valueType;
  return undefined;
}

function unwrap(schema: unknown): unknown {
  let here = schema;
  while (
    here instanceof z.ZodDefault ||
    here instanceof z.ZodPrefault ||
    here instanceof z.ZodOptional
  ) {
    here = here.unwrap();
  }
  return here instanceof z.ZodUnion ? unwrap(here.options.at(-1)) : here;
}

function nearest(key: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, distance: distance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near !== undefined && near.distance <= Math.max(2, key.length / 3)) {
    return `did you mean ${near.name}?`;
  }
  return known.length === 0 ? undefined : `known here: ${known.join(', ')}`;
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [at, letter] of Array.from(a).entries()) {
    const next = [at + 1];
    for (const [index, other] of Array.from(b).entries()) {
      const replaced = (row[index] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
