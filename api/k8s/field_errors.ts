/** What is wrong with which field, in the words of Kubernetes' field.Error, and many of them as one Status. */
import { qualifiedKind, type ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";

export interface FieldError {
  /** As in StatusCause, such as `FieldValueInvalid`. */
  readonly reason: string;
  readonly field: string;
  /** `Invalid value: 3: must be …`, without the field. */
  readonly message: string;
}

/** A value as it stands in a message: strings in quotes, the rest as JSON. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > 512 ? `${text.slice(0, 512)}…` : text;
}

function error(reason: string, field: string, title: string, detail: string): FieldError {
  return { reason, field, message: detail === "" ? title : `${title}: ${detail}` };
}

export function required(field: string, detail = ""): FieldError {
  return error("FieldValueRequired", field, "Required value", detail);
}

export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  return error("FieldValueInvalid", field, `Invalid value: ${shown(value)}`, detail);
}

export function wrongType(field: string, value: unknown, detail: string): FieldError {
  return error("FieldValueTypeInvalid", field, `Invalid value: ${shown(value)}`, detail);
}

export function notSupported(
  field: string,
  value: unknown,
  supported: readonly unknown[],
): FieldError {
  const names = supported.map((item) => shown(typeof item === "string" ? item : shown(item)));
  return error(
    "FieldValueNotSupported",
    field,
    `Unsupported value: ${shown(value)}`,
    `supported values: ${names.join(", ")}`,
  );
}

export function forbiddenField(field: string, detail: string): FieldError {
  return error("FieldValueForbidden", field, "Forbidden", detail);
}

export function duplicate(field: string, value: unknown): FieldError {
  return error("FieldValueDuplicate", field, `Duplicate value: ${shown(value)}`, "");
}

export function tooLong(field: string, most: number): FieldError {
  return error("FieldValueTooLong", field, "Too long", `may not be more than ${most} bytes`);
}

export function tooMany(field: string, actual: number, most: number): FieldError {
  return error(
    "FieldValueTooMany",
    field,
    `Too many: ${actual}`,
    `must have at most ${most} items`,
  );
}

/** Most causes that one answer names. */
const MAX_CAUSES = 50;

/** 422 naming every field, as the API server joins them; undefined: of no kind. */
export function invalidObject(
  resource: Pick<ResourceDefinition, "group" | "kind"> | undefined,
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const causes = errors.slice(0, MAX_CAUSES).map(({ reason, message, field }) => ({
    reason,
    message,
    field,
  }));
  const texts = [...new Set(causes.map(({ field, message }) => `${field}: ${message}`))];
  const joined = texts.length === 1 ? texts[0] ?? "" : `[${texts.join(", ")}]`;
  const kind = resource === undefined ? "" : qualifiedKind(resource);
  return new StatusError("Invalid", `${kind} "${name}" is invalid: ${joined}`, {
    details: resource === undefined
      ? { causes }
      : { name, group: resource.group, kind: resource.kind, causes },
  });
}
