/** Messages by name, read from schema_table.ts when they are first asked for. */
import { KIND_MESSAGES } from "./schema_table.ts";
import { CRD_MESSAGES } from "./schema_table_crd.ts";
import { NETWORKING_MESSAGES } from "./schema_table_networking.ts";
import { REVIEW_MESSAGES } from "./schema_table_reviews.ts";

/** Plain types, or the name of a message. */
export type ScalarType =
  | "string"
  | "bool"
  | "integer"
  | "bytes"
  | "time"
  | "microTime"
  | "duration"
  | "quantity"
  | "intOrString"
  | "json"
  | "dropped";

export interface FieldSpec {
  /** "" for an inlined message. */
  readonly name: string;
  /** Protobuf field number. */
  readonly number: number;
  readonly shape: "one" | "list" | "map";
  /** Element type of lists and maps; a list of lists does not occur. */
  readonly type: ScalarType | { readonly message: string };
  /** Absent and zero are different things. */
  readonly pointer: boolean;
  /** How a strategic merge patch merges a list: by a key, or as a set; undefined: replaces it. */
  readonly merge: { readonly key: string } | "set" | undefined;
}

export interface MessageSpec {
  readonly name: string;
  readonly byNumber: ReadonlyMap<number, FieldSpec>;
  /** As in JSON: inlined messages are resolved. */
  readonly byName: ReadonlyMap<string, FieldSpec>;
}

const SCALARS: Readonly<Record<string, ScalarType>> = {
  s: "string",
  b: "bool",
  i: "integer",
  y: "bytes",
  t: "time",
  m: "microTime",
  d: "duration",
  q: "quantity",
  x: "intOrString",
  r: "json",
  f: "dropped",
};

const TABLES = [KIND_MESSAGES, CRD_MESSAGES, NETWORKING_MESSAGES, REVIEW_MESSAGES];

/** Holds what was read; make one per service. */
export class KindSchemas {
  readonly #messages = new Map<string, MessageSpec>();

  /** Undefined for a kind without a description, such as one of a CustomResourceDefinition. */
  message(name: string | undefined): MessageSpec | undefined {
    if (name === undefined) return undefined;
    const known = this.#messages.get(name);
    if (known !== undefined) return known;
    const text = TABLES.find((table) => Object.hasOwn(table, name))?.[name];
    if (text === undefined) return undefined;
    const fields = text === "" ? [] : text.split(", ").map(parseField);
    const byNumber = new Map(fields.map((field) => [field.number, field]));
    const byName = new Map<string, FieldSpec>();
    for (const field of fields) {
      if (field.name !== "") {
        byName.set(field.name, field);
      } else if (typeof field.type === "object") {
        for (const [inner, spec] of this.message(field.type.message)?.byName ?? []) {
          byName.set(inner, spec);
        }
      }
    }
    const message = { name, byNumber, byName };
    this.#messages.set(name, message);
    return message;
  }
}

function parseField(text: string): FieldSpec {
  const match = /^(\S+) (\d+) (\[\]|\{\})?([A-Za-z0-9]+)(\*)?(?: \+(\w*))?$/.exec(text);
  if (match === null) throw new TypeError(`schema field "${text}"`);
  const [, name = "", number = "", shape, type = "", pointer, merge] = match;
  return {
    name: name === ">" ? "" : name,
    number: Number(number),
    shape: shape === "[]" ? "list" : shape === "{}" ? "map" : "one",
    type: SCALARS[type] ?? { message: type },
    pointer: pointer === "*",
    merge: merge === undefined || shape !== "[]"
      ? undefined
      : merge === ""
      ? "set"
      : { key: merge },
  };
}
