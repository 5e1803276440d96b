import type { Loss } from './choice-link.ts';

export interface Bounds {
  readonly crashes: number;
  readonly losses: number;
  readonly recoverers: number;
}

/** What happens next, in the words of the trace. */
export type Choice =
  | {
      readonly do: 'arrive' | 'arrive-without-heartbeat' | 'anew' | 'break-off';
      readonly link: number;
    }
  | { readonly do: 'read'; readonly link: number }
  | { readonly do: 'time'; readonly actor: number }
  | { readonly do: 'nothing' }
  | { readonly do: 'lose'; readonly how: Loss }
  | { readonly do: 'kill' }
  | { readonly do: 'crash' };
