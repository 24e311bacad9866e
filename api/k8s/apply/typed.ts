/**
 * What structured-merge-diff does with values: which fields one has, how two differ, merging one into
 * another, taking fields away. Pure; nothing is changed in place.
 */
import { equalJson, isRecord } from "../plain.ts";
import { EMPTY, type FieldSet, fieldSet, isEmpty, OWN, union } from "./field_set.ts";
import type { MergeSchema } from "./merge_schema.ts";

type Json = Readonly<Record<string, unknown>>;

/** Items of a list by their step in a path; undefined where they cannot be told apart. */
type Items = ReadonlyMap<string, unknown>;

/** The step of an item, or the key that it lacks. */
function stepOf(
  item: unknown,
  schema: MergeSchema & { kind: "keyed" },
): { step: string } | { missing: string } {
  const keys: Record<string, unknown> = {};
  for (const key of schema.keys.toSorted()) {
    const given = isRecord(item) && Object.hasOwn(item, key) ? item[key] : undefined;
    const value = given ?? schema.defaults[key];
    if (value === undefined || value === null) return { missing: key };
    keys[key] = value;
  }
  return { step: `k:${JSON.stringify(keys)}` };
}

function itemsOf(list: readonly unknown[], schema: MergeSchema): Items | undefined {
  const items = new Map<string, unknown>();
  for (const item of list) {
    let step: string;
    if (schema.kind === "set") {
      if (typeof item === "object") return undefined;
      step = `v:${JSON.stringify(item)}`;
    } else if (schema.kind === "keyed") {
      const found = stepOf(item, schema);
      if ("missing" in found) return undefined;
      step = found.step;
    } else return undefined;
    if (items.has(step)) return undefined;
    items.set(step, item);
  }
  return items;
}

/** The schema of what stands at a step of a list. */
function itemSchema(schema: MergeSchema): MergeSchema {
  return schema.kind === "keyed" ? schema.item : { kind: "atomic" };
}

/**
 * Why the lists of a configuration cannot be merged: an item without its key, or twice the same.
 *
 * @returns undefined where they can.
 */
export function listProblem(value: unknown, schema: MergeSchema, path = ""): string | undefined {
  if (schema.kind === "map" && isRecord(value)) {
    for (const [name, child] of Object.entries(value)) {
      const problem = listProblem(child, schema.field(name), `${path}.${name}`);
      if (problem !== undefined) return problem;
    }
  }
  if (!Array.isArray(value) || (schema.kind !== "keyed" && schema.kind !== "set")) return undefined;
  const seen = new Set<string>();
  for (const [i, item] of value.entries()) {
    const found = schema.kind === "keyed"
      ? stepOf(item, schema)
      : { step: `v:${JSON.stringify(item)}` };
    if ("missing" in found) {
      return `${path}: element ${i}: associative list with keys has an element that omits key field "${found.missing}" (and doesn't have default value)`;
    }
    if (seen.has(found.step)) return `${path}: duplicate entries for key ${found.step.slice(2)}`;
    seen.add(found.step);
    const problem = listProblem(item, itemSchema(schema), `${path}[${i}]`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Every field that the value has. */
export function fieldsOf(value: unknown, schema: MergeSchema): FieldSet {
  if (schema.kind === "map" && isRecord(value)) {
    return fieldSet(
      false,
      Object.entries(value).map(([name, child]) => {
        const below = fieldsOf(child, schema.field(name));
        const isBare = child === null || (isRecord(child) && Object.keys(child).length === 0);
        // A key of a map is a field by itself; a field of a struct only where nothing is below it.
        return [`f:${name}`, isBare || !schema.isNamed(name) ? union(OWN, below) : below] as const;
      }),
    );
  }
  if ((schema.kind === "keyed" || schema.kind === "set") && Array.isArray(value)) {
    const items = itemsOf(value, schema);
    if (items === undefined) return OWN;
    const inner = itemSchema(schema);
    return fieldSet(
      false,
      [...items].map(([step, item]) =>
        [step, schema.kind === "set" ? OWN : union(OWN, fieldsOf(item, inner))] as const
      ),
    );
  }
  return value === undefined ? EMPTY : OWN;
}

export interface Comparison {
  readonly added: FieldSet;
  readonly removed: FieldSet;
  readonly modified: FieldSet;
}

const SAME: Comparison = { added: EMPTY, removed: EMPTY, modified: EMPTY };

/** How `after` differs from `before`, by fields. */
export function compare(before: unknown, after: unknown, schema: MergeSchema): Comparison {
  if (before === after) return SAME;
  if (schema.kind === "map" && isRecord(before) && isRecord(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    const parts = [...names].map((name): readonly [string, Comparison] => {
      const inner = schema.field(name);
      const own = !schema.isNamed(name);
      return [`f:${name}`, compareChild(childOf(before, name), childOf(after, name), inner, own)];
    });
    return join(parts);
  }
  const isList = schema.kind === "keyed" || schema.kind === "set";
  if (isList && Array.isArray(before) && Array.isArray(after)) {
    const old = itemsOf(before, schema);
    const now = itemsOf(after, schema);
    if (old !== undefined && now !== undefined) {
      const inner = itemSchema(schema);
      const steps = new Set([...old.keys(), ...now.keys()]);
      return join(
        [...steps].map((step) =>
          [step, compareChild(old.get(step), now.get(step), inner, true)] as const
        ),
      );
    }
  }
  return equalJson(before, after) ? SAME : { ...SAME, modified: OWN };
}

function childOf(value: Json, name: string): unknown {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function compareChild(
  before: unknown,
  after: unknown,
  schema: MergeSchema,
  ownsItself: boolean,
): Comparison {
  const whole = (value: unknown) => {
    const below = fieldsOf(value, schema);
    return ownsItself || isThing(value, schema) ? union(OWN, below) : below;
  };
  if (before === undefined) return after === undefined ? SAME : { ...SAME, added: whole(after) };
  if (after === undefined) return { ...SAME, removed: whole(before) };
  return compare(before, after, schema);
}

/** Whether it is a field by itself when it comes or goes: a list, a map, or anything without fields. */
function isThing(value: unknown, schema: MergeSchema): boolean {
  if (value === null || Array.isArray(value)) return true;
  return isRecord(value) && schema.kind === "map" &&
    Object.keys(value).every((name) => !schema.isNamed(name));
}

function join(parts: readonly (readonly [string, Comparison])[]): Comparison {
  const pick = (which: keyof Comparison) =>
    fieldSet(false, parts.map(([step, part]) => [step, part[which]] as const));
  return { added: pick("added"), removed: pick("removed"), modified: pick("modified") };
}

/** `live` with everything that `config` says. Items keep their place; new ones follow in their order. */
export function merge(live: unknown, config: unknown, schema: MergeSchema): unknown {
  if (schema.kind === "map" && isRecord(live) && isRecord(config)) {
    const out: Record<string, unknown> = { ...live };
    for (const [name, value] of Object.entries(config)) {
      out[name] = Object.hasOwn(live, name) ? merge(live[name], value, schema.field(name)) : value;
    }
    return out;
  }
  const isList = schema.kind === "keyed" || schema.kind === "set";
  if (isList && Array.isArray(live) && Array.isArray(config)) {
    const old = itemsOf(live, schema);
    const given = itemsOf(config, schema);
    if (old === undefined || given === undefined) return config;
    const inner = itemSchema(schema);
    const out = new Map(old);
    for (const [step, item] of given) {
      out.set(step, old.has(step) ? merge(old.get(step), item, inner) : item);
    }
    return [...out.values()];
  }
  return config;
}

/**
 * Takes away what is in `gone`, except what somebody still holds. What becomes empty by it goes, too.
 *
 * @returns undefined where nothing is left.
 */
export function removeFields(
  value: unknown,
  schema: MergeSchema,
  gone: FieldSet,
  held: FieldSet,
): unknown {
  if (isEmpty(gone)) return value;
  if (schema.kind === "map" && isRecord(value)) {
    const out: Record<string, unknown> = {};
    for (const [name, child] of Object.entries(value)) {
      const left = removeChild(child, schema.field(name), `f:${name}`, gone, held);
      if (left !== undefined) out[name] = left;
    }
    return Object.keys(out).length === 0 && Object.keys(value).length > 0 ? undefined : out;
  }
  if ((schema.kind === "keyed" || schema.kind === "set") && Array.isArray(value)) {
    const items = itemsOf(value, schema);
    if (items === undefined) return value;
    const inner = itemSchema(schema);
    const out = [...items].flatMap(([step, item]) => {
      const left = removeChild(item, inner, step, gone, held, schema);
      return left === undefined ? [] : [left];
    });
    return out.length === 0 && value.length > 0 ? undefined : out;
  }
  return value;
}

function removeChild(
  value: unknown,
  schema: MergeSchema,
  step: string,
  gone: FieldSet,
  held: FieldSet,
  list?: MergeSchema,
): unknown {
  const mine = gone.children.get(step);
  if (mine === undefined) return value;
  const others = held.children.get(step) ?? EMPTY;
  if (mine.own && isEmpty(others)) return undefined;
  // A leaf that somebody holds, or an item that others hold a part of.
  if (mine.children.size === 0) return value;
  const left = removeFields(value, schema, mine, others) ??
    (others.own ? Array.isArray(value) ? [] : {} : undefined);
  if (list?.kind !== "keyed" || !isRecord(value)) return left;
  // What an item is known by stays with it.
  const keys = Object.fromEntries(
    list.keys.filter((key) => Object.hasOwn(value, key)).map((key) => [key, value[key]]),
  );
  return { ...keys, ...(isRecord(left) ? left : {}) };
}
