const HIDDEN = '***';

/** Passwords in URIs, and in their parameters. What is no URI stays as it is. */
export function redactUris(text: string): string {
  return text
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/[^\s:@/?#'"]*):[^\s'"]*@/gi, `$1:${HIDDEN}@`)
    .replace(/\b(password|passfile|sslpassword)=('[^']*'|[^\s&'"]+)/gi, `$1=${HIDDEN}`);
}

/** Shorter ones are part of ordinary words: hiding them would garble every message and prove them. */
const SHORTEST = 6;

/** Hides the secrets of one configuration, wherever they turn up in a text. */
export class Redactor {
  readonly #secrets = new Set<string>();

  add(secret: string): void {
    if (secret.length < SHORTEST) return;
    this.#secrets.add(secret);
    this.#secrets.add(encodeURIComponent(secret));
  }

  /** The password in it, if it is a URI with one. */
  addConnectionString(text: string): void {
    const password = /^[a-z]+:\/\/[^:@/]*:(.*)@/i.exec(text)?.[1];
    if (password === undefined) return;
    this.#secrets.add(password);
    try {
      this.add(decodeURIComponent(password));
    } catch {
      // Not percent-encoded as it should be: it is hidden as it stands.
    }
  }

  redact(text: string): string {
    let redacted = redactUris(text);
    for (const secret of this.#secrets) redacted = redacted.replaceAll(secret, HIDDEN);
    return redacted;
  }
}
