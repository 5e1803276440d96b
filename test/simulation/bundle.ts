/** One file of the simulation and the production code in it: fast to start, and the place to change a text of src. */
import { mkdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

import { patched, type Patch } from './patch.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Bundles an entry point of this folder; returns the path of the file. Throws if a patch does not apply. */
export async function bundle(
  entry: string,
  name: string,
  patches: readonly Patch[] = [],
): Promise<string> {
  const folder = join(root, 'node_modules', '.cache', 'pgxa-simulation');
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `${name}.mjs`);
  const bundled = new Set<string>();
  await build({
    entryPoints: [join(root, 'test', 'simulation', entry)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    // The one who asks for it looks for the migrations beside the sources.
    define: {
      'import.meta.url': JSON.stringify(
        pathToFileURL(join(root, 'src/decision-log/migrate.ts')).href,
      ),
    },
    plugins: [
      {
        name: 'patches',
        setup: (building) => {
          building.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => {
            const file = relative(join(root, 'src'), path);
            bundled.add(file);
            return { contents: patched(file, await readFile(path, 'utf8'), patches), loader: 'ts' };
          });
        },
      },
    ],
  });
  const missing = patches.find(({ file }) => !bundled.has(file));
  if (missing !== undefined)
    throw new Error(`no file ${missing.file} was bundled: its patch is lost`);
  return outfile;
}
