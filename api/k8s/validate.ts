/** Whether a document fits the description of its kind: types always, unknown fields where asked. */
import { isRecord } from "./prepare.ts";
import type { FieldSpec, KindSchemas, MessageSpec, ScalarType } from "./schema.ts";
import { StatusError } from "./status.ts";

export type FieldValidation = "Ignore" | "Strict";

/** Most problems that one answer names. */
const MAX_NAMED = 10;

/**
 * A kind that is not described passes.
 *
 * @throws {StatusError} BadRequest naming the fields.
 */
export function validateDocument(
  document: unknown,
  kind: string | undefined,
  schemas: KindSchemas,
  fieldValidation: FieldValidation,
): void {
  const message = schemas.message(kind);
  if (message === undefined || !isRecord(document)) return;
  const unknown: string[] = [];
  const { apiVersion: _, kind: __, ...fields } = document;
  visit(fields, message, schemas, "", unknown);
  if (fieldValidation === "Strict") refuseUnknown(unknown);
}

/** @throws {StatusError} BadRequest where there are any. */
export function refuseUnknown(paths: readonly string[]): void {
  if (paths.length === 0) return;
  const named = paths.slice(0, MAX_NAMED).map((path) => `unknown field "${path}"`).join(", ");
  throw new StatusError("BadRequest", `strict decoding error: ${named}`);
}

function visit(
  object: Readonly<Record<string, unknown>>,
  message: MessageSpec,
  schemas: KindSchemas,
  path: string,
  unknown: string[],
): void {
  for (const [name, value] of Object.entries(object)) {
    const here = path === "" ? name : `${path}.${name}`;
    const field = message.byName.get(name);
    if (field === undefined) unknown.push(here);
    else if (value !== null) visitField(value, field, schemas, here, unknown);
  }
}

function wrong(path: string, expected: string): StatusError {
  return new StatusError("BadRequest", `cannot be decoded: field "${path}": expected ${expected}`);
}

function visitField(
  value: unknown,
  field: FieldSpec,
  schemas: KindSchemas,
  path: string,
  unknown: string[],
): void {
  if (field.shape === "list") {
    if (!Array.isArray(value)) throw wrong(path, "a list");
    value.forEach((item, i) => visitValue(item, field.type, schemas, `${path}[${i}]`, unknown));
  } else if (field.shape === "map") {
    if (!isRecord(value)) throw wrong(path, "a map");
    for (const [key, item] of Object.entries(value)) {
      visitValue(item, field.type, schemas, `${path}.${key}`, unknown);
    }
  } else {
    visitValue(value, field.type, schemas, path, unknown);
  }
}

function visitValue(
  value: unknown,
  type: FieldSpec["type"],
  schemas: KindSchemas,
  path: string,
  unknown: string[],
): void {
  if (typeof type === "string") {
    if (value !== null && !SCALAR_CHECKS[type].check(value)) {
      throw wrong(path, SCALAR_CHECKS[type].expected);
    }
    return;
  }
  if (value === null) return;
  if (!isRecord(value)) throw wrong(path, "an object");
  const message = schemas.message(type.message);
  if (message !== undefined) visit(value, message, schemas, path, unknown);
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
