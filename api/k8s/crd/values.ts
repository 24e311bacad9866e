/** Custom objects against their schema, in the words of the API server. */
import {
  duplicate,
  type FieldError,
  invalidValue,
  notSupported,
  required,
  tooLong,
  tooMany,
  wrongType,
} from "../field_errors.ts";
import { equalJson, isRecord } from "../plain.ts";
import { formatProblem } from "./formats.ts";
import type { JsonSchema } from "./json_schema.ts";
import { Patterns } from "./patterns.ts";

/** Most problems that are looked for: the rest comes to light after these are mended. */
const MAX_ERRORS = 100;

/** A check under way. */
interface Check {
  readonly errors: FieldError[];
  /** Of the whole object, also where alternatives are tried. */
  readonly patterns: Patterns;
}

/** Everything about `value` that the schema does not allow; a type that is wrong hides the rest of it. */
export function validateValue(value: unknown, schema: JsonSchema, path: string): FieldError[] {
  return errorsOf(value, schema, path, new Patterns());
}

function errorsOf(
  value: unknown,
  schema: JsonSchema,
  path: string,
  patterns: Patterns,
): FieldError[] {
  const errors: FieldError[] = [];
  visit(value, schema, path, { errors, patterns });
  return errors;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number"
    ? Number.isSafeInteger(value) ? "integer" : "number"
    : typeof value;
}

function fitsType(actual: string, schema: JsonSchema): boolean {
  if (schema.intOrString) return actual === "integer" || actual === "string";
  return schema.type === "" || actual === schema.type ||
    (schema.type === "number" && actual === "integer");
}

function visit(value: unknown, schema: JsonSchema, path: string, check: Check): void {
  const { errors } = check;
  if (errors.length >= MAX_ERRORS) return;
  if (value === null && schema.nullable) return;
  const actual = typeOf(value);
  if (!fitsType(actual, schema)) {
    const wanted = schema.intOrString ? "integer,string" : schema.type;
    const text = `${path} in body must be of type ${wanted}: "${actual}"`;
    errors.push(wrongType(path, actual, text));
    return;
  }
  const list = schema.enum;
  if (list !== undefined && !list.some((item) => equalJson(item, value))) {
    errors.push(notSupported(path, value, list));
  }
  if (typeof value === "string") checkText(value, schema, path, check);
  else if (typeof value === "number") checkNumber(value, schema, path, errors);
  else if (Array.isArray(value)) checkList(value, schema, path, check);
  else if (isRecord(value)) checkObject(value, schema, path, check);
  checkCombined(value, schema, path, check);
}

function checkText(value: string, schema: JsonSchema, path: string, check: Check): void {
  const { errors, patterns } = check;
  const { maxLength, minLength, pattern, format } = schema;
  if (maxLength !== undefined || minLength !== undefined) {
    const length = [...value].length;
    if (maxLength !== undefined && length > maxLength) errors.push(tooLong(path, maxLength));
    if (minLength !== undefined && length < minLength) {
      const text = `${path} in body should be at least ${minLength} chars long`;
      errors.push(invalidValue(path, value, text));
    }
  }
  const matches = pattern === "" || patterns.matches(pattern, value);
  if (matches !== true) {
    const text = matches === undefined
      ? `${path} in body is too long to be matched against '${pattern}'`
      : `${path} in body should match '${pattern}'`;
    errors.push(invalidValue(path, value, text));
  }
  if (format !== "" && formatProblem(value, format)) {
    errors.push(
      wrongType(path, value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`),
    );
  }
}

function checkNumber(value: number, schema: JsonSchema, path: string, errors: FieldError[]): void {
  const { maximum, minimum, multipleOf } = schema;
  const bad = (what: string, bound: number) =>
    errors.push(invalidValue(path, value, `${path} in body should be ${what} ${bound}`));
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum ? value >= maximum : value > maximum) {
      bad(schema.exclusiveMaximum ? "less than" : "less than or equal to", maximum);
    }
  }
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum ? value <= minimum : value < minimum) {
      bad(schema.exclusiveMinimum ? "greater than" : "greater than or equal to", minimum);
    }
  }
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf)) {
    bad("a multiple of", multipleOf);
  }
}

function checkList(
  value: readonly unknown[],
  schema: JsonSchema,
  path: string,
  check: Check,
): void {
  const { errors } = check;
  const { maxItems, minItems, items } = schema;
  if (maxItems !== undefined && value.length > maxItems) {
    errors.push(tooMany(path, value.length, maxItems));
  }
  if (minItems !== undefined && value.length < minItems) {
    const text = `${path} in body should have at least ${minItems} items`;
    errors.push(invalidValue(path, value.length, text));
  }
  if (items !== undefined) value.forEach((item, i) => visit(item, items, `${path}[${i}]`, check));
  checkUnique(value, schema, path, errors);
}

/** Sets hold a value once, maps a key once. */
function checkUnique(
  value: readonly unknown[],
  schema: JsonSchema,
  path: string,
  errors: FieldError[],
): void {
  if (schema.listType !== "set" && schema.listType !== "map") return;
  const seen = new Set<string>();
  value.forEach((item, i) => {
    const key = schema.listType === "set" ? item : Object.fromEntries(
      schema.listMapKeys.map((name) => [name, isRecord(item) ? item[name] : undefined]),
    );
    const text = canonical(key);
    if (seen.has(text)) errors.push(duplicate(`${path}[${i}]`, key));
    seen.add(text);
  });
}

/** Equal values give equal text, whatever the order of their fields. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isRecord(value)) return JSON.stringify(value) ?? "null";
  const fields = Object.keys(value).sort().map((name) =>
    `${JSON.stringify(name)}:${canonical(value[name])}`
  );
  return `{${fields.join(",")}}`;
}

function checkObject(
  value: Readonly<Record<string, unknown>>,
  schema: JsonSchema,
  path: string,
  check: Check,
): void {
  const { errors } = check;
  const child = (name: string) => path === "" ? name : `${path}.${name}`;
  const names = Object.keys(value);
  const { maxProperties, minProperties, additionalProperties } = schema;
  if (maxProperties !== undefined && names.length > maxProperties) {
    errors.push(tooMany(path, names.length, maxProperties));
  }
  if (minProperties !== undefined && names.length < minProperties) {
    const text = `${path} in body should have at least ${minProperties} properties`;
    errors.push(invalidValue(path, names.length, text));
  }
  const mustHave = schema.embeddedResource
    ? new Set(["apiVersion", "kind", ...schema.required])
    : schema.required;
  for (const name of mustHave) {
    if (!Object.hasOwn(value, name)) errors.push(required(child(name)));
  }
  for (const name of names) {
    const property = schema.properties.get(name);
    if (property !== undefined) visit(value[name], property, child(name), check);
    else if (typeof additionalProperties === "object") {
      visit(value[name], additionalProperties, child(name), check);
    }
  }
}

function checkCombined(
  value: unknown,
  schema: JsonSchema,
  path: string,
  check: Check,
): void {
  const { errors, patterns } = check;
  for (const inner of schema.allOf) visit(value, inner, path, check);
  const named = JSON.stringify(path);
  if (schema.anyOf.length > 0) {
    const tried = schema.anyOf.map((inner) => errorsOf(value, inner, path, patterns));
    if (tried.every((found) => found.length > 0)) {
      errors.push(invalidValue(path, "", `${named} must validate at least one schema (anyOf)`));
      errors.push(...fewest(tried));
    }
  }
  if (schema.oneOf.length > 0) {
    const tried = schema.oneOf.map((inner) => errorsOf(value, inner, path, patterns));
    const valid = tried.filter((found) => found.length === 0).length;
    if (valid !== 1) {
      const found = valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`;
      const text = `${named} must validate one and only one schema (oneOf). ${found}`;
      errors.push(invalidValue(path, "", text));
      if (valid === 0) errors.push(...fewest(tried));
    }
  }
  if (schema.not !== undefined && errorsOf(value, schema.not, path, patterns).length === 0) {
    errors.push(invalidValue(path, "", `${named} must not validate the schema (not)`));
  }
}

/** What the alternative that came closest is missing. */
function fewest(tried: readonly FieldError[][]): readonly FieldError[] {
  return tried.reduce((best, found) => found.length < best.length ? found : best, tried[0] ?? []);
}
