/** `fieldPath` of a rule: which field below the rule's own an error is about. */
import type { JsonSchema } from "../json_schema.ts";

const STEP = /\.([^.[\]']+)|\['((?:[^'\\]|\\.)*)'\]/y;
const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "'": "'",
  "\\": "\\",
};

/** As it is appended to a path, or what is wrong with it. */
export function readFieldPath(
  path: string,
  schema: JsonSchema,
): { readonly suffix: string } | { readonly problem: string } {
  let at = 0;
  let suffix = "";
  let here: JsonSchema = schema;
  while (at < path.length) {
    STEP.lastIndex = at;
    const match = STEP.exec(path);
    if (match === null) return { problem: `expected [ or . but got: ${path.slice(at, at + 64)}` };
    at += match[0].length;
    const quoted = match[2];
    const name = match[1] ??
      (quoted ?? "").replace(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? letter);
    const { additionalProperties: additional } = here;
    const property = here.properties.get(name);
    if (here.properties.size > 0) {
      if (property === undefined) return { problem: "does not refer to a valid field" };
      suffix += `.${name}`;
      here = property;
    } else if (typeof additional === "object") {
      suffix += `[${name}]`;
      here = additional;
    } else return { problem: "does not refer to a valid field" };
  }
  return { suffix };
}
