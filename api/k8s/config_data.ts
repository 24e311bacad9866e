/** What a ConfigMap or a Secret may hold: kubelets make files of its keys. After Kubernetes' ValidateConfigMap and ValidateSecret. */
import { type FieldError, forbiddenField, invalidValue, tooLong } from "./field_errors.ts";
import type { KubernetesObject } from "./objects.ts";
import { equalJson, isRecord } from "./plain.ts";

/** Most bytes that the values of one object come to (core/v1 MaxSecretSize). */
const MAX_VALUE_BYTES = 1024 * 1024;
const MAX_KEY_LENGTH = 253;
/** Most keys that are complained about: an answer names no more. */
const MAX_ERRORS = 50;
/** The fields of keys and values, by kind; `stringData` has become `data` by now. */
const BAGS = { ConfigMap: ["data", "binaryData"], Secret: ["data"] } as const;

export type DataKind = keyof typeof BAGS;

export function isDataKind(kind: string): kind is DataKind {
  return Object.hasOwn(BAGS, kind);
}

/** Why a key cannot be a file's name below a volume's own directory. */
export function keyProblems(key: string): string[] {
  const problems: string[] = [];
  if (key.length > MAX_KEY_LENGTH) {
    problems.push(`must be no more than ${MAX_KEY_LENGTH} characters`);
  }
  if (!/^[-._a-zA-Z0-9]+$/.test(key)) {
    problems.push(
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    );
  }
  if (key === "." || key === "..") problems.push(`must not be '${key}'`);
  else if (key.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

/** Keys that are none, keys that stand in both fields, and values beyond 1 MiB. */
export function dataErrors(object: KubernetesObject, kind: DataKind): FieldError[] {
  const errors: FieldError[] = [];
  const bags = BAGS[kind].map((field) => ({ field, bag: bagOf(object, field) }));
  let bytes = 0;
  for (const { field, bag } of bags) {
    const other = bags.find((entry) => entry.field !== field);
    const isBase64 = kind === "Secret" || field === "binaryData";
    for (const [key, value] of Object.entries(bag)) {
      if (typeof value === "string") bytes += isBase64 ? decodedLength(value) : utf8Length(value);
      if (errors.length >= MAX_ERRORS) continue;
      const path = `${field}[${key.slice(0, 512)}]`;
      errors.push(...keyProblems(key).map((problem) => invalidValue(path, key, problem)));
      if (other !== undefined && Object.hasOwn(other.bag, key)) {
        errors.push(invalidValue(path, key, `duplicate of key present in ${other.field}`));
      }
    }
  }
  if (bytes > MAX_VALUE_BYTES) {
    errors.push(tooLong(kind === "Secret" ? "data" : "", MAX_VALUE_BYTES));
  }
  return errors;
}

/** `immutable: true` cannot be taken back, nor the data changed; a secret's type never changes. */
export function frozenErrors(
  next: KubernetesObject,
  before: KubernetesObject,
  kind: DataKind,
): FieldError[] {
  const errors: FieldError[] = [];
  if (kind === "Secret" && !equalJson(typeOf(next), typeOf(before))) {
    errors.push(invalidValue("type", next["type"], "field is immutable"));
  }
  if (before["immutable"] !== true) return errors;
  const frozen = (field: string) =>
    errors.push(forbiddenField(field, "field is immutable when `immutable` is set"));
  if (next["immutable"] !== true) frozen("immutable");
  for (const field of BAGS[kind]) {
    if (!equalJson(bagOf(next, field), bagOf(before, field))) frozen(field);
  }
  return errors;
}

function typeOf(secret: KubernetesObject): unknown {
  return (secret["type"] ?? "") === "" ? "Opaque" : secret["type"];
}

function bagOf(object: KubernetesObject, field: string): Readonly<Record<string, unknown>> {
  const bag = object[field];
  return isRecord(bag) ? bag : {};
}

function decodedLength(base64: string): number {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return base64.length / 4 * 3 - padding;
}

function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // Halves of a surrogate pair are two bytes each.
    bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
  }
  return bytes;
}
