/** Objects against the rules of their schema, in the words of the API server. */
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  required,
} from "../../field_errors.ts";
import { equalJson, isRecord } from "../../plain.ts";
import type { JsonSchema, ValidationRule } from "../json_schema.ts";
import type { Run } from "./compiled.ts";
import { CostExceeded, Meter, OBJECT_COST_LIMIT, RULE_COST, RULE_COST_LIMIT } from "./meter.ts";
import { type CompiledRule, OLD_SELF_SLOT, type RuleNode, SELF_SLOT } from "./rules.ts";
import type { SchemaTypes } from "./schema_types.ts";
import { EvaluationError, OptionalValue, type Value } from "./values.ts";

/** Most that is told; the rest comes to light after these are mended. */
const MAX_ERRORS = 100;
const MAX_MESSAGE_BYTES = 5 * 1024;
const OUT_OF_BUDGET =
  "validation failed due to running out of cost budget, no further validation rules will be run";

/**
 * What the rules refuse.
 *
 * @param value fits the schema
 * @param old the value as it was; undefined: there was none, or none to compare with.
 */
export function ruleErrors(
  node: RuleNode,
  types: SchemaTypes,
  value: unknown,
  old: unknown,
  path: string,
): FieldError[] {
  const evaluation = new Evaluation(types);
  evaluation.visit(node, value, old, path);
  return evaluation.errors;
}

class Evaluation {
  readonly errors: FieldError[] = [];
  readonly #types: SchemaTypes;
  #budget = OBJECT_COST_LIMIT;
  #stopped = false;

  constructor(types: SchemaTypes) {
    this.#types = types;
  }

  /** @param isAsBefore whether what the value lies in has not changed */
  visit(
    node: RuleNode,
    value: unknown,
    old: unknown,
    path: string,
    isAsBefore: () => boolean = () => false,
  ): void {
    if (value === null || value === undefined || this.#stopped) return;
    const then = old ?? undefined;
    let same: boolean | undefined;
    const isSame = () => same ??= then === undefined ? isAsBefore() : equalJson(value, then);
    this.#evaluate(node, value, then, path, isSame);
    if (Array.isArray(value)) this.#items(node, value, then, path, isSame);
    else if (isRecord(value)) this.#fields(node, value, then, path, isSame);
  }

  #fields(
    node: RuleNode,
    value: Readonly<Record<string, unknown>>,
    old: unknown,
    path: string,
    isSame: () => boolean,
  ): void {
    const before = isRecord(old) ? old : {};
    for (const name of Object.keys(value)) {
      const then = Object.hasOwn(before, name) ? before[name] : undefined;
      const property = node.properties.get(name);
      if (property !== undefined) {
        this.visit(property, value[name], then, path === "" ? name : `${path}.${name}`, isSame);
      } else if (node.additional !== undefined) {
        this.visit(node.additional, value[name], then, `${path}[${name}]`, isSame);
      }
    }
  }

  #items(
    node: RuleNode,
    value: readonly unknown[],
    old: unknown,
    path: string,
    isSame: () => boolean,
  ): void {
    const { items } = node;
    if (items === undefined) return;
    const before = Array.isArray(old) ? keyed(old, node.schema) : new Map<string, unknown>();
    value.forEach((item, i) =>
      this.visit(items, item, before.get(keyOf(item, node.schema)), `${path}[${i}]`, isSame)
    );
  }

  #evaluate(
    node: RuleNode,
    value: unknown,
    old: unknown,
    path: string,
    isSame: () => boolean,
  ): void {
    const { rules, schema, isRoot } = node;
    if (rules.length === 0) return;
    const field = path === "" ? "<nil>" : path;
    let self: Value;
    let oldSelf: Value | undefined;
    try {
      self = this.#types.valueOf(value, schema, this.#spend, isRoot);
      const isCompared = old !== undefined && rules.some(({ usesOldSelf }) => usesOldSelf);
      oldSelf = isCompared ? this.#types.valueOf(old, schema, this.#spend, isRoot) : undefined;
    } catch (cause) {
      if (cause instanceof CostExceeded) {
        this.#stopped = true;
        this.errors.push(invalidValue(field, schema.type, OUT_OF_BUDGET));
        return;
      }
      if (!(cause instanceof EvaluationError)) throw cause;
      this.errors.push(invalidValue(field, schema.type, cause.message));
      return;
    }
    for (const rule of rules) {
      if (this.#stopped || this.errors.length >= MAX_ERRORS) return;
      const isOptional = rule.source.optionalOldSelf === true;
      if (rule.usesOldSelf && oldSelf === undefined && !isOptional) continue;
      const given = isOptional ? new OptionalValue(oldSelf) : oldSelf;
      const result = this.#run(rule.run, self, given, this.#limit);
      if ("value" in result) {
        if (result.value === true) continue;
        // What broke the rule before it was made may stay; only changes are held to it.
        if (rule.usesOldSelf || !isSame()) this.#refuse(rule, schema, self, oldSelf, path);
      } else this.errors.push(invalidValue(field, schema.type, failureText(result, rule.source)));
    }
  }

  /** Of what is done beside the steps of a rule. @throws {CostExceeded} */
  readonly #spend = (units: number): void => {
    this.#budget -= units;
    if (this.#budget < 0) throw new CostExceeded();
  };

  get #limit(): number {
    return Math.max(0, Math.min(RULE_COST_LIMIT, this.#budget));
  }

  #run(run: Run, self: Value, oldSelf: Value | undefined, limit: number): Result {
    const meter = new Meter(limit);
    const slots: Value[] = [];
    slots[SELF_SLOT] = self;
    if (oldSelf !== undefined) slots[OLD_SELF_SLOT] = oldSelf;
    try {
      meter.spend(RULE_COST);
      return { value: run({ slots, meter }) };
    } catch (cause) {
      if (cause instanceof EvaluationError) return { failure: cause.message };
      if (!(cause instanceof CostExceeded)) throw cause;
      this.#stopped = true;
      return { exceeded: cause.message, ofRule: limit === RULE_COST_LIMIT };
    } finally {
      this.#budget = Math.max(0, this.#budget - (limit - Math.max(0, meter.left)));
    }
  }

  #refuse(
    { source, message, suffix }: CompiledRule,
    schema: JsonSchema,
    self: Value,
    oldSelf: Value | undefined,
    path: string,
  ): void {
    const joined = `${path}${suffix}`;
    const field = path === "" ? joined.replace(/^\./, "") || "<nil>" : joined;
    let detail: string | undefined;
    if (message !== undefined) {
      const result = this.#run(message, self, oldSelf, this.#limit);
      if ("exceeded" in result) {
        this.errors.push(invalidValue(
          field,
          schema.type,
          `no further validation rules will be run due to call cost exceeds limit for messageExpression: ${
            JSON.stringify(source.messageExpression)
          }`,
        ));
        return;
      }
      if ("value" in result) detail = usableMessage(result.value);
    }
    this.errors.push(errorFor(field, schema.type, detail ?? messageOf(source), source.reason));
  }
}

type Result =
  | { readonly value: Value }
  | { readonly failure: string }
  | { readonly exceeded: string; readonly ofRule: boolean };

function failureText(result: Exclude<Result, { value: Value }>, rule: ValidationRule): string {
  const named = rule.message === "" ? rule.rule.trim() : rule.message.trim();
  if ("exceeded" in result) {
    return result.ofRule
      ? `'${result.exceeded}': no further validation rules will be run due to call cost exceeds limit for rule: ${named}`
      : OUT_OF_BUDGET;
  }
  return result.failure.startsWith("no such overload")
    ? `'${result.failure}': call arguments did not match a supported operator, function or macro signature for rule: ${named}`
    : `${result.failure} evaluating rule: ${named}`;
}

function messageOf(rule: ValidationRule): string {
  return rule.message === "" ? `failed rule: ${rule.rule.trim()}` : rule.message.trim();
}

/** One line of a reasonable length; undefined: the rule's own message is told instead. */
function usableMessage(value: Value): string | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  const isUsable = text !== "" && !text.includes("\n") &&
    new TextEncoder().encode(text).length <= MAX_MESSAGE_BYTES;
  return isUsable ? text : undefined;
}

function errorFor(
  field: string,
  type: string,
  detail: string,
  reason: string | undefined,
): FieldError {
  switch (reason) {
    case "FieldValueForbidden":
      return forbiddenField(field, detail);
    case "FieldValueRequired":
      return required(field, detail);
    case "FieldValueDuplicate":
      return duplicate(field, type);
    default:
      return invalidValue(field, type, detail);
  }
}

/** The items by their keys; none where the list has no keys. */
function keyed(items: readonly unknown[], schema: JsonSchema): ReadonlyMap<string, unknown> {
  if (schema.listType !== "map") return new Map();
  return new Map(items.map((item) => [keyOf(item, schema), item]));
}

function keyOf(item: unknown, schema: JsonSchema): string {
  return JSON.stringify(schema.listMapKeys.map((name) => isRecord(item) ? item[name] : undefined));
}

/** What the rules of a schema refuse of the defaults in it. */
export function defaultErrors(node: RuleNode, types: SchemaTypes, path: string): FieldError[] {
  const { schema } = node;
  const own = schema.default === undefined
    ? []
    : ruleErrors(node, types, schema.default.value, undefined, `${path}.default`);
  const below = [...node.properties].flatMap(([name, property]) =>
    defaultErrors(property, types, `${path}.properties[${name}]`)
  );
  const additional = node.additional === undefined
    ? []
    : defaultErrors(node.additional, types, `${path}.additionalProperties`);
  const items = node.items === undefined ? [] : defaultErrors(node.items, types, `${path}.items`);
  return [...own, ...below, ...additional, ...items];
}
