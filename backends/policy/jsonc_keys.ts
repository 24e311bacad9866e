/**
 * Finds what a JSON parser swallows silently: a key that stands twice in one object, and
 * `__proto__`. Runs over text that the parser has already accepted.
 */

/** The first repeated or forbidden key, as a path; undefined where all is well. */
export function repeatedKey(text: string): string | undefined {
  const stack: { readonly keys: Set<string> | undefined; key: string }[] = [];
  let i = 0;
  while (i < text.length) {
    const char = text[i];
    if (char === "/" && text[i + 1] === "/") {
      while (i < text.length && text[i] !== "\n" && text[i] !== "\r") i++;
    } else if (char === "/" && text[i + 1] === "*") {
      const end = text.indexOf("*/", i + 2);
      i = end < 0 ? text.length : end + 2;
    } else if (char === '"') {
      const end = stringEnd(text, i);
      const top = stack.at(-1);
      if (top?.keys !== undefined && nextToken(text, end) === ":") {
        const key = String(JSON.parse(text.slice(i, end)));
        const path = [...stack.slice(0, -1).map((level) => level.key), key].filter((part) =>
          part !== ""
        ).join(".");
        if (key === "__proto__" || top.keys.has(key)) return path;
        top.keys.add(key);
        top.key = key;
      }
      i = end;
    } else {
      if (char === "{") stack.push({ keys: new Set(), key: "" });
      else if (char === "[") stack.push({ keys: undefined, key: "" });
      else if (char === "}" || char === "]") stack.pop();
      i++;
    }
  }
  return undefined;
}

function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}

function nextToken(text: string, from: number): string | undefined {
  let i = from;
  while (i < text.length) {
    const char = text[i] ?? "";
    if (char === "/" && text[i + 1] === "/") {
      while (i < text.length && text[i] !== "\n" && text[i] !== "\r") i++;
    } else if (char === "/" && text[i + 1] === "*") {
      const end = text.indexOf("*/", i + 2);
      i = end < 0 ? text.length : end + 2;
    } else if (/\s/.test(char)) i++;
    else return char;
  }
  return undefined;
}
