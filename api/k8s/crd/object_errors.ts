/** Everything that a custom object's schema refuses, its rules included. */
import type { FieldError } from "../field_errors.ts";
import type { CustomKind } from "../resources.ts";
import { ruleErrors } from "./cel/validate.ts";
import { validateValue } from "./values.ts";

/** Where one of these stands, rules would work on what they were not written for. */
const BLOCKING = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

/** @param before the object as it is stored; undefined for a new one. */
export function objectErrors(
  object: unknown,
  before: unknown,
  { schema, rules }: Pick<CustomKind, "schema" | "rules">,
): FieldError[] {
  const errors = validateValue(object, schema, "");
  if (rules === undefined) return errors;
  if (errors.some(({ reason }) => BLOCKING.has(reason))) {
    return [...errors, {
      reason: "FieldValueInvalid",
      field: "<nil>",
      message:
        "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
    }];
  }
  return [...errors, ...ruleErrors(rules.root, rules.types, object, before, "")];
}
