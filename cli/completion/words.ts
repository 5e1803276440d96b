/** What may go from servers and programs into a shell. */

/**
 * What every shell takes for one word that means itself: a gid can be anything, and a completion puts it
 * into a command line.
 */
export function isPlainWord(text: string): boolean {
  return /^[A-Za-z0-9_.:/@=-]+$/.test(text) && !text.startsWith('-');
}

/** Labels come from programs, and go into menus of a shell: letters, digits and a few signs are left of them. */
export function harmless(description: string): string {
  const text = description.replace(/\s+/gu, ' ').replace(/[^\p{L}\p{N} ,.:;_#+()…/-]/gu, '?');
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}

const LONGEST = 72;
