/** Fields of an applied configuration that its schema does not have, in the words of structured-merge-diff. */
import { isRecord } from "../plain.ts";
import type { FieldPath } from "../strict.ts";
import type { MergeSchema } from "./merge_schema.ts";

/** Most fields that one answer names. */
const MAX_NAMED = 20;
const MAX_PATH_LENGTH = 1024;

/** @returns undefined where there are none; one field is named of each object. */
export function undeclaredProblem(
  unknown: readonly FieldPath[],
  config: unknown,
  schema: MergeSchema,
): string | undefined {
  const parents = new Set<string>();
  const messages: string[] = [];
  for (const path of unknown) {
    const parent = JSON.stringify(path.slice(0, -1));
    if (parents.has(parent)) continue;
    parents.add(parent);
    if (messages.length < MAX_NAMED) {
      messages.push(`${typedPath(path, config, schema)}: field not declared in schema`);
    }
  }
  return messages.length < 2 ? messages[0] : ["errors:", ...messages].join("\n  ");
}

/** `.spec.containers[name="c"].image`: items of maps by their keys. */
function typedPath(path: FieldPath, config: unknown, schema: MergeSchema): string {
  let text = "";
  let value = config;
  let at: MergeSchema | undefined = schema;
  for (const step of path) {
    if (typeof step === "string") {
      text += `.${step}`;
      value = isRecord(value) ? value[step] : undefined;
      at = at?.kind === "map" ? at.field(step) : undefined;
    } else {
      value = Array.isArray(value) ? value[step] : undefined;
      text += `[${at?.kind === "keyed" ? keysOf(value, at) : step}]`;
      at = at?.kind === "keyed" ? at.item : undefined;
    }
    if (text.length > MAX_PATH_LENGTH) return `${text.slice(0, MAX_PATH_LENGTH)}…`;
  }
  return text;
}

function keysOf(item: unknown, { keys, defaults }: MergeSchema & { kind: "keyed" }): string {
  return keys.toSorted().map((key) => {
    const given = isRecord(item) && Object.hasOwn(item, key) ? item[key] : defaults[key];
    return `${key}=${JSON.stringify(given) ?? "null"}`;
  }).join(",");
}
