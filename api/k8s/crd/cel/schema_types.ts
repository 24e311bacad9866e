/** Schemas as types of expressions, and objects of a schema as values. */
import { isRecord } from "../../plain.ts";
import type { JsonSchema } from "../json_schema.ts";
import { parseFormattedDuration, parseFormattedTime } from "./library/time.ts";
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  STRING,
  TIMESTAMP,
  type Type,
} from "./types.ts";
import {
  ATOMIC,
  EvaluationError,
  type ListRule,
  ListValue,
  MapValue,
  ObjectValue,
  type Value,
} from "./values.ts";

const KEYWORDS = new Set(
  ("true false null in as break const continue else for function if import let loop package " +
    "namespace return var void while").split(" "),
);

/** The name that expressions call a field by; undefined: they cannot. */
export function escapeName(name: string): string | undefined {
  if (name === "" || /^[0-9]/.test(name)) return undefined;
  if (KEYWORDS.has(name)) return `__${name}__`;
  if (!/^[A-Za-z0-9_./-]+$/.test(name)) return undefined;
  return name.replace(/__|[./-]/g, (part) => {
    if (part === "__") return "__underscores__";
    return part === "." ? "__dot__" : part === "-" ? "__dash__" : "__slash__";
  });
}

/** Items of a list that are taken over for one unit of cost. */
const ITEMS_A_UNIT = 8;

const METADATA: Type = objectType(new Map([["name", STRING], ["generateName", STRING]]));
/** What every object has, whatever its schema says. */
const OF_EVERY_OBJECT: ReadonlyMap<string, Type> = new Map([
  ["apiVersion", STRING],
  ["kind", STRING],
  ["metadata", METADATA],
]);

function objectType(fields: ReadonlyMap<string, Type>): Type {
  return { kind: "object", field: (name) => fields.get(name) };
}

/** The types of one schema; each place in it has its own. */
export class SchemaTypes {
  readonly #known = new Map<JsonSchema, Type | undefined>();

  /**
   * @param isRoot of an object, which has a name
   * @returns undefined: expressions cannot see values of it.
   */
  typeOf(schema: JsonSchema, isRoot = schema.embeddedResource): Type | undefined {
    if (!this.#known.has(schema)) this.#known.set(schema, this.#make(schema, isRoot));
    return this.#known.get(schema);
  }

  #make(schema: JsonSchema, isRoot: boolean): Type | undefined {
    if (schema.intOrString) return DYN;
    switch (schema.type) {
      case "array": {
        const item = schema.items === undefined ? undefined : this.typeOf(schema.items);
        return item === undefined ? undefined : listOf(item);
      }
      case "object": {
        if (typeof schema.additionalProperties === "object") {
          const value = this.typeOf(schema.additionalProperties);
          return value === undefined ? undefined : mapOf(STRING, value);
        }
        const fields = new Map<string, Type>();
        for (const [name, property] of schema.properties) {
          const [escaped, type] = [escapeName(name), this.typeOf(property)];
          if (escaped !== undefined && type !== undefined) fields.set(escaped, type);
        }
        if (isRoot) { for (const [name, type] of OF_EVERY_OBJECT) fields.set(name, type); }
        return objectType(fields);
      }
      case "string":
        return schema.format === "byte"
          ? BYTES
          : schema.format === "duration"
          ? DURATION
          : schema.format === "date" || schema.format === "date-time"
          ? TIMESTAMP
          : STRING;
      case "boolean":
        return BOOL;
      case "number":
        return DOUBLE;
      case "integer":
        return INT;
      default:
        return undefined;
    }
  }

  /**
   * A value that fits the schema, as expressions see it; objects are read as their fields are asked for.
   *
   * @param spend is told what that costs, then and later; it may throw.
   * @throws {EvaluationError} where it does not fit.
   */
  valueOf(
    value: unknown,
    schema: JsonSchema,
    spend: (units: number) => void,
    isRoot = schema.embeddedResource,
  ): Value {
    if (value === null) {
      if (schema.nullable) return null;
      throw new EvaluationError("invalid data, got null for schema with nullable=false");
    }
    if (schema.intOrString) {
      if (typeof value === "string") return value;
      if (Number.isSafeInteger(value)) return BigInt(Number(value));
    } else if (schema.type === "object" && isRecord(value)) {
      return this.#object(value, schema, spend, isRoot);
    } else if (schema.type === "array" && Array.isArray(value) && schema.items !== undefined) {
      const { items } = schema;
      spend(Math.ceil(value.length / ITEMS_A_UNIT));
      return new ListValue(
        value.map((item) => this.valueOf(item, items, spend)),
        listRule(schema),
      );
    } else if (schema.type === "string" && typeof value === "string") {
      return textValue(value, schema.format);
    } else if (schema.type === "boolean" && typeof value === "boolean") return value;
    else if (schema.type === "number" && typeof value === "number") return value;
    else if (schema.type === "integer" && Number.isSafeInteger(value)) return BigInt(Number(value));
    throw new EvaluationError(`invalid data, expected ${schema.type}, got ${typeof value}`);
  }

  #object(
    value: Readonly<Record<string, unknown>>,
    schema: JsonSchema,
    spend: (units: number) => void,
    isRoot: boolean,
  ): Value {
    const { additionalProperties: additional } = schema;
    spend(1);
    if (typeof additional === "object") {
      const entries = Object.entries(value);
      spend(Math.ceil(entries.length / ITEMS_A_UNIT));
      return new MapValue(
        new Map(entries.map(([key, item]) => [key, this.valueOf(item, additional, spend)])),
      );
    }
    const type = this.typeOf(schema, isRoot);
    const names = new Map<string, string>();
    const hidden: Record<string, unknown> = {};
    for (const name of Object.keys(value)) {
      if (value[name] === undefined) continue;
      const escaped = escapeName(name);
      const isKnown = escaped !== undefined && type?.kind === "object" &&
        type.field(escaped) !== undefined;
      if (isKnown) names.set(escaped, name);
      else Object.defineProperty(hidden, name, { value: value[name], enumerable: true });
    }
    return new ObjectValue(value, [...names.keys()], hidden, (escaped) => {
      const name = names.get(escaped);
      if (name === undefined) return undefined;
      const content = value[name];
      if (isRoot && OF_EVERY_OBJECT.has(name)) return ownValue(content, name);
      const property = schema.properties.get(name);
      return property === undefined ? undefined : this.valueOf(content, property, spend);
    });
  }
}

function listRule(schema: JsonSchema): ListRule {
  if (schema.listType === "set") return { type: "set", keys: [] };
  if (schema.listType !== "map") return ATOMIC;
  return { type: "map", keys: schema.listMapKeys.map((key) => escapeName(key) ?? key) };
}

function textValue(text: string, format: string): Value {
  switch (format) {
    case "byte":
      try {
        return Uint8Array.fromBase64(text);
      } catch (cause) {
        throw new EvaluationError("Invalid byte formatted string", { cause });
      }
    case "duration":
      return parseFormattedDuration(text);
    case "date":
    case "date-time":
      return parseFormattedTime(text, format);
    default:
      return text;
  }
}

/** `apiVersion`, `kind`, and of `metadata` the names. */
function ownValue(value: unknown, name: string): Value {
  if (name !== "metadata") return typeof value === "string" ? value : "";
  const metadata = isRecord(value) ? value : {};
  const names = ["name", "generateName"].filter((key) => typeof metadata[key] === "string");
  return new ObjectValue(metadata, names, {}, (key) => {
    const text = metadata[key];
    return names.includes(key) && typeof text === "string" ? text : undefined;
  });
}
