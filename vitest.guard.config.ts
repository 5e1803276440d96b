import { fileURLToPath } from 'node:url';

import { defineConfig, mergeConfig } from 'vitest/config';

import { GUARDS } from './test/simulation/guards.ts';
import { patched } from './test/simulation/patch.ts';
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
          const file = id.startsWith(src) ? id.slice(src.length) : '';
          if (!guard.patches.some((patch) => patch.file === file)) return undefined;
          return { code: patched(file, code, guard.patches), map: null };
        },
      },
    ],
  }),
);
