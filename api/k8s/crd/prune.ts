/** What the server does to a custom object before it looks at it: unknown fields go, defaults come. */
import { isRecord } from "../plain.ts";
import { type FieldPath, pathText } from "../strict.ts";
import type { JsonSchema } from "./json_schema.ts";

/** Of every object, and of what is embedded in one. */
const TYPE_FIELDS = ["apiVersion", "kind", "metadata"];

/**
 * Takes away what the schema does not know, in place.
 *
 * @param isRoot of an object, whose type and metadata no schema speaks of
 * @returns the paths of everything that was taken away, in the order of their texts, as the API server has them.
 */
export function prune(
  value: unknown,
  schema: JsonSchema,
  isRoot: boolean,
): readonly FieldPath[] {
  const unknown: FieldPath[] = [];
  visit(value, schema, [], unknown, isRoot);
  return unknown.length < 2 ? unknown : sorted(unknown);
}

function sorted(paths: readonly FieldPath[]): readonly FieldPath[] {
  return paths.map((path) => ({ path, text: pathText(path) }))
    .toSorted((a, b) => a.text < b.text ? -1 : a.text > b.text ? 1 : 0)
    .map(({ path }) => path);
}

function visit(
  value: unknown,
  schema: JsonSchema | undefined,
  path: (string | number)[],
  unknown: FieldPath[],
  isRoot = false,
): void {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      path.push(i);
      visit(value[i], schema?.items, path, unknown);
      path.pop();
    }
    return;
  }
  if (!isRecord(value) || schema === undefined) return;
  const isResource = isRoot || schema.embeddedResource;
  const additional = schema.additionalProperties;
  for (const name of Object.keys(value)) {
    if (isResource && TYPE_FIELDS.includes(name)) continue;
    path.push(name);
    const property = schema.properties.get(name);
    if (property !== undefined) visit(value[name], property, path, unknown);
    else if (typeof additional === "object") visit(value[name], additional, path, unknown);
    else if (additional !== true && !schema.preserveUnknownFields) {
      unknown.push([...path]);
      delete value[name];
    }
    path.pop();
  }
}

/** Fills in what is absent and has a default, in place; null counts as absent where it is not allowed. */
export function applyDefaults(value: unknown, schema: JsonSchema): unknown {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items !== undefined) { for (const item of value) applyDefaults(item, items); }
    return value;
  }
  if (!isRecord(value)) return value;
  for (const [name, property] of schema.properties) {
    const current = Object.hasOwn(value, name) ? value[name] : undefined;
    if (property.default !== undefined) {
      if (current === undefined || (current === null && !property.nullable)) {
        value[name] = structuredClone(property.default.value);
      }
    }
    if (Object.hasOwn(value, name)) applyDefaults(value[name], property);
  }
  const additional = schema.additionalProperties;
  if (typeof additional === "object") {
    for (const [name, item] of Object.entries(value)) {
      if (item === null && !additional.nullable && additional.default !== undefined) {
        value[name] = structuredClone(additional.default.value);
      }
      applyDefaults(value[name], additional);
    }
  }
  return value;
}
