/**
 * The form of `pgxa … -o json`, of which schema/pgxa-output.schema.json is made: `npm run schema`.
 * test/cli/output-schema.test.ts holds it against what every verb really prints.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { z } from 'zod';

import { diagnosis } from './output-schema/diagnosis.ts';
import { audit, coordinators, history } from './output-schema/records.ts';
import { observations, recovery } from './output-schema/recovery.ts';
import {
  survey,
  explanation,
  plan,
  resolved,
  force,
  forgotten,
  check,
} from './output-schema/triage.ts';

export const SCHEMA_FILE = fileURLToPath(
  new URL('../schema/pgxa-output.schema.json', import.meta.url),
);

/** By the name that stands in `schema`. */
export const DOCUMENTS = {
  'pgxa.survey/1': survey,
  'pgxa.explanation/1': explanation,
  'pgxa.plan/1': plan,
  'pgxa.resolution/1': resolved,
  'pgxa.force/1': force,
  'pgxa.forgotten/1': forgotten,
  'pgxa.check/1': check,
  'pgxa.observations/1': observations,
  'pgxa.recovery/1': recovery,
  'pgxa.coordinators/1': coordinators,
  'pgxa.history/1': history,
  'pgxa.audit/1': audit,
  'pgxa.diagnosis/1': diagnosis,
} as const;

/**
 * @param strict also refuses fields that are not described. The shipped one does not: a version may be added to.
 */
export function outputSchema({ strict }: { readonly strict: boolean }): Record<string, unknown> {
  const any = z.union(Object.values(DOCUMENTS));
  const { $schema, ...schema } = z.toJSONSchema(any, { io: strict ? 'output' : 'input' });
  return {
    $schema,
    $id: 'pgxa-output.schema.json',
    title: 'What pgxa prints with -o json',
    description: 'Which of the forms it is, and its version, is told by "schema".',
    ...schema,
  };
}

export function outputSchemaText(): Promise<string> {
  return format(JSON.stringify(outputSchema({ strict: false })), {
    parser: 'json',
    printWidth: 100,
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(SCHEMA_FILE, await outputSchemaText());
}
