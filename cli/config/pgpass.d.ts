declare module 'pgpass' {
  /** Looks the password up in the file that PGPASSFILE names, or in ~/.pgpass. */
  export default function pgpass(
    who: Readonly<Record<string, unknown>>,
    answer: (password: string | undefined) => void,
  ): void;
}
