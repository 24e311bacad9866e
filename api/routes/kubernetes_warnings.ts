/** `Warning` headers of an answer (RFC 7234, 5.5), as the API server writes and bounds them. */

/** What all texts come to before each is cut short, and what a text is cut to. */
const MAX_TOTAL = 4 * 1024;
const MAX_ITEM = 256;
/** C0 and C1 control characters and DEL stand in no header. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/**
 * Values of `Warning` headers, in order and each once: `299 - "text"`. Texts that no header can carry are left out.
 */
export function warningHeaders(given: Iterable<string>): readonly string[] {
  const texts = [...new Set(given)]
    .filter((text) => text !== "" && !CONTROL.test(text) && text.isWellFormed())
    .map((text) => [...text]);
  const isTooMuch = texts.reduce((sum, { length }) => sum + length, 0) > MAX_TOTAL;
  const out: string[] = [];
  let written = 0;
  for (const text of texts) {
    if (written >= MAX_TOTAL) break;
    const shown = isTooMuch ? text.slice(0, MAX_ITEM) : text;
    written += shown.length;
    out.push(`299 - "${quoted(shown.join(""))}"`);
  }
  return out;
}

/**
 * ASCII as a quoted string, anything else as an encoded word of RFC 2047, which client-go reads: bytes
 * of UTF-8 in headers, which the API server sends, do not get through every listener.
 */
function quoted(text: string): string {
  return /^[\x20-\x7e]*$/.test(text)
    ? text.replace(/[\\"]/g, "\\$&")
    : `=?utf-8?b?${new TextEncoder().encode(text).toBase64()}?=`;
}
