import type { Path, Problem } from './problem.ts';

const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}\\]|\\.)*))?\}|\$\{/g;

/** These are numbers to the library; a reference can only give a text. */
const NUMBERS = new Set([
  'port',
  'heartbeatLimitMs',
  'connectTimeoutMs',
  'intervalMs',
  'leaseMs',
  'retentionDays',
]);

export interface Substitution {
  readonly value: unknown;
  readonly problems: readonly Problem[];
}

/**
 * Puts the environment in place of `${NAME}` and `${NAME:-default}` (unset or empty, as in a shell), in
 * values and never in keys. `$${` stands for `${` itself.
 */
export function substituteReferences(value: unknown, env: NodeJS.ProcessEnv): Substitution {
  const problems: Problem[] = [];
  const walk = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') return substitute(node, path, env, problems);
    if (Array.isArray(node)) return node.map((item, index) => walk(item, [...path, index]));
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(
      Object.entries(node).map(([key, item]) => [key, walk(item, [...path, key])]),
    );
  };
  return { value: walk(value, []), problems };
}

function substitute(
  text: string,
  path: Path,
  env: NodeJS.ProcessEnv,
  problems: Problem[],
): string | number | boolean {
  if (!text.includes('${')) return text;
  const replaced = text.replace(REFERENCE, (whole, name?: string, fallback?: string) => {
    if (whole === '$${') return '${';
    if (name === undefined) {
      const hint = 'write ${NAME} or ${NAME:-default}; $${ stands for ${ itself';
      problems.push({ path, message: 'a reference that is not closed or has no name', hint });
      return '';
    }
    const value = env[name];
    if (value !== undefined && (value !== '' || fallback === undefined)) return value;
    if (fallback !== undefined) return fallback.replace(/\\(.)/g, '$1');
    const hint = `set it, or write \${${name}:-default}`;
    problems.push({ path, message: `the environment has no ${name}`, hint });
    return '';
  });
  const key = path.at(-1);
  if (NUMBERS.has(String(key)) && /^\d+$/.test(replaced)) return Number(replaced);
  if (key === 'ssl' && (replaced === 'true' || replaced === 'false')) return replaced === 'true';
  return replaced;
}
