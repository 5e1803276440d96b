import { fileURLToPath } from 'node:url';

import { defineConfig, mergeConfig } from 'vitest/config';

import { GUARDS } from './test/simulation/guards.ts';
import base from './vitest.config.ts';

/** For `npm run simulate:guards -- --held`: the tests as ever, and src without one guard. */
const name = process.env['PGXA_WITHOUT_GUARD'];
const guard = GUARDS.find((one) => one.name === name);
if (guard === undefined) throw new Error(`PGXA_WITHOUT_GUARD: no guard is called "${name ?? ''}"`);
const src = fileURLToPath(new URL('src/', import.meta.url));

export default mergeConfig(
  base,
  defineConfig({
    plugins: [
      {
        name: 'without-a-guard',
        enforce: 'pre',
        transform: (code, id) => {
          const patches = guard.patches.filter(({ file }) => id === `${src}${file}`);
          if (patches.length === 0) return undefined;
          let changed = code;
          for (const { from, to } of patches) {
            if (!changed.includes(from)) throw new Error(`does not apply to ${id}: ${from}`);
            changed = changed.replace(from, () => to);
          }
          return { code: changed, map: null };
        },
      },
    ],
  }),
);
