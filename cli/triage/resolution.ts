import type { Resolution } from '../../src/index.ts';

/** Errors as text: they are no data for a script otherwise. */
export function plainResolution(
  resolution: Resolution,
  redact: (text: string) => string,
): Readonly<Record<string, unknown>> {
  return {
    ...resolution,
    left: resolution.left.map(({ error, ...one }) => ({
      ...one,
      ...(error === undefined ? {} : { error: redact(error.message) }),
    })),
    failed: resolution.failed.map((one) => ({ ...one, error: redact(one.error) })),
  };
}
