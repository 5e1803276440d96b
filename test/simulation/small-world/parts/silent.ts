import type { ServerObserver } from '../../postgres/server.ts';

export const SILENT: ServerObserver = {
  at: () => undefined,
  finishing: () => undefined,
  registering: () => undefined,
  meeting: () => undefined,
  decidedLate: () => undefined,
  deciding: () => undefined,
};
