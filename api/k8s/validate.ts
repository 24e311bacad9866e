/** Whether a document fits the description of its kind: types, and fields that the kind does not have. */
import { isRecord } from "./prepare.ts";
import type { FieldSpec, KindSchemas, MessageSpec, ScalarType } from "./schema.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";
import { cannotBeHandled, type FieldPath, pathText } from "./strict.ts";

/** Messages that say their kind wherever they stand, such as in a StatefulSet's claim templates. */
const TYPED_MESSAGES: ReadonlySet<string> = new Set(["PersistentVolumeClaim"]);
const TYPE_FIELDS: readonly string[] = ["apiVersion", "kind"];

/**
 * The fields of a document that its kind does not have; none of a kind that is not described.
 *
 * @param fields the document without apiVersion and kind
 * @param root where it stands in the whole document
 * @throws {StatusError} BadRequest naming a field of another type than it has to be.
 */
export function unknownFields(
  fields: Readonly<Record<string, unknown>>,
  message: MessageSpec | undefined,
  schemas: KindSchemas,
  resource: Pick<ResourceDefinition, "kind" | "version">,
  root: FieldPath = [],
): readonly FieldPath[] {
  if (message === undefined) return [];
  const visitor = new Visitor(schemas, resource, root);
  visitor.message(fields, message);
  return visitor.unknown;
}

class Visitor {
  readonly unknown: FieldPath[] = [];
  /** Where in the document we are. */
  readonly #path: (string | number)[];
  readonly #schemas: KindSchemas;
  readonly #resource: Pick<ResourceDefinition, "kind" | "version">;

  constructor(
    schemas: KindSchemas,
    resource: Pick<ResourceDefinition, "kind" | "version">,
    root: FieldPath,
  ) {
    this.#path = [...root];
    this.#schemas = schemas;
    this.#resource = resource;
  }

  message(object: Readonly<Record<string, unknown>>, message: MessageSpec): void {
    for (const [name, value] of Object.entries(object)) {
      const field = message.byName.get(name);
      this.#path.push(name);
      if (field !== undefined) {
        if (value !== null) this.#field(value, field);
      } else if (!TYPED_MESSAGES.has(message.name) || !TYPE_FIELDS.includes(name)) {
        this.unknown.push([...this.#path]);
      }
      this.#path.pop();
    }
  }

  #field(value: unknown, { shape, type }: FieldSpec): void {
    if (shape === "one") return this.#value(value, type);
    if (shape === "list") {
      if (!Array.isArray(value)) throw this.#wrong("a list");
      for (let i = 0; i < value.length; i++) this.#step(i, value[i], type);
    } else {
      if (!isRecord(value)) throw this.#wrong("a map");
      for (const [key, item] of Object.entries(value)) this.#step(key, item, type);
    }
  }

  #step(step: string | number, value: unknown, type: FieldSpec["type"]): void {
    this.#path.push(step);
    this.#value(value, type);
    this.#path.pop();
  }

  #value(value: unknown, type: FieldSpec["type"]): void {
    if (value === null) return;
    if (typeof type === "string") {
      if (!SCALAR_CHECKS[type].check(value)) throw this.#wrong(SCALAR_CHECKS[type].expected);
      return;
    }
    if (!isRecord(value)) throw this.#wrong("an object");
    const message = this.#schemas.message(type.message);
    if (message !== undefined) this.message(value, message);
  }

  #wrong(expected: string): StatusError {
    const why = `field "${pathText(this.#path)}": expected ${expected}`;
    return new StatusError("BadRequest", cannotBeHandled(this.#resource, why));
  }
}

interface ScalarCheck {
  readonly expected: string;
  check(value: unknown): boolean;
}

const isText = (value: unknown): value is string => typeof value === "string";
const time: ScalarCheck = {
  expected: "a time of RFC 3339",
  check: (value) => isText(value) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(value),
};

const SCALAR_CHECKS: Readonly<Record<ScalarType, ScalarCheck>> = {
  string: { expected: "a string", check: isText },
  bool: { expected: "a boolean", check: (value) => typeof value === "boolean" },
  integer: { expected: "an integer", check: (value) => Number.isSafeInteger(value) },
  bytes: {
    expected: "base64",
    check: (value) =>
      isText(value) && /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0,
  },
  time,
  microTime: time,
  duration: { expected: "a duration", check: isText },
  quantity: {
    expected: "a quantity",
    check: (value) =>
      typeof value === "number" ||
      (isText(value) && /^[+-]?\d*\.?\d*([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$/.test(value) &&
        /\d/.test(value)),
  },
  intOrString: {
    expected: "an integer or a string",
    check: (value) => isText(value) || Number.isSafeInteger(value),
  },
  json: { expected: "any", check: () => true },
  dropped: { expected: "any", check: () => true },
};
