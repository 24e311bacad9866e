/** What the server does to a custom object before it looks at it: unknown fields go, defaults come. */
import { isRecord } from "../plain.ts";
import type { JsonSchema } from "./json_schema.ts";

/** Of every object, and of what is embedded in one. */
const TYPE_FIELDS = ["apiVersion", "kind", "metadata"];

/**
 * Takes away what the schema does not know, in place.
 *
 * @param unknown gets the path of everything that was taken away.
 */
export function prune(
  value: unknown,
  schema: JsonSchema | undefined,
  path: string,
  unknown: string[],
  isRoot = false,
): void {
  if (Array.isArray(value)) {
    value.forEach((item, i) => prune(item, schema?.items, `${path}[${i}]`, unknown));
    return;
  }
  if (!isRecord(value) || schema === undefined) return;
  const isResource = isRoot || schema.embeddedResource;
  const additional = schema.additionalProperties;
  for (const name of Object.keys(value)) {
    if (isResource && TYPE_FIELDS.includes(name)) continue;
    const here = path === "" ? name : `${path}.${name}`;
    const property = schema.properties.get(name);
    if (property !== undefined) prune(value[name], property, here, unknown);
    else if (typeof additional === "object") prune(value[name], additional, here, unknown);
    else if (additional !== true && !schema.preserveUnknownFields) {
      unknown.push(here);
      delete value[name];
    }
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
