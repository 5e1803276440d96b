/** How things are written for people. */

/** Names come from anywhere: what could move the cursor, hide or reorder text is shown by its number. */
export function escapeText(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u{d800}-\u{dfff}]/gu,
    (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** A name as it is if it is harmless, else in quotes, so that blanks at its ends are seen. */
export function name(text: string): string {
  return /^[\x21\x23-\x7e]+$/.test(text) ? text : `"${escapeText(text).replaceAll('"', '\\"')}"`;
}

/** As a word of a shell command: what is copied from the terminal must not run anything else. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_.:/@=-]+$/.test(text)
    ? text
    : `'${escapeText(text).replaceAll("'", "'\\''")}'`;
}

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** 950 ms, 12 s, 3 min, 4 h, 5 d */
export function age(ms: number | undefined): string {
  if (ms === undefined) return '';
  const unit = UNITS.find(([, size]) => ms >= size);
  return unit === undefined ? `${Math.round(ms)} ms` : `${Math.floor(ms / unit[1])} ${unit[0]}`;
}

/** Of the freeze limit. */
export function xidAge(of: {
  xidAge: number | undefined;
  freezeLimit: number | undefined;
}): string {
  if (of.xidAge === undefined || of.freezeLimit === undefined) return '';
  const percent = (of.xidAge / of.freezeLimit) * 100;
  return `${of.xidAge} (${percent < 1 ? '<1' : Math.round(percent)}%)`;
}

export function oneLine(text: string, max = 200): string {
  const line = escapeText(text.replace(/\s+/g, ' ').trim());
  return line.length > max ? `${line.slice(0, max - 1)}…` : line;
}
