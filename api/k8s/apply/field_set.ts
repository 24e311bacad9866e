/**
 * Sets of fields, as `fieldsV1` of meta/v1 writes them: `f:name` for a field, `k:{…}` for an item of a
 * list by its keys, `v:…` for an item of a set, `.` for the thing itself beside its fields. Immutable.
 */
import { isRecord } from "../plain.ts";

export interface FieldSet {
  /** Whether the thing at this place is in the set, beside what is below it. */
  readonly own: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

export const EMPTY: FieldSet = Object.freeze({ own: false, children: new Map() });
export const OWN: FieldSet = Object.freeze({ own: true, children: new Map() });

/** Deepest nesting that is read. */
const MAX_DEPTH = 64;

export function isEmpty(set: FieldSet): boolean {
  return !set.own && set.children.size === 0;
}

function make(own: boolean, children: ReadonlyMap<string, FieldSet>): FieldSet {
  return children.size === 0 ? own ? OWN : EMPTY : { own, children };
}

/** Puts children together; empty ones are left out. */
export function fieldSet(own: boolean, children: Iterable<readonly [string, FieldSet]>): FieldSet {
  return make(own, new Map([...children].filter(([, child]) => !isEmpty(child))));
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmpty(a)) return b;
  if (isEmpty(b)) return a;
  const children = new Map(a.children);
  for (const [name, child] of b.children) {
    const other = children.get(name);
    children.set(name, other === undefined ? child : union(other, child));
  }
  return make(a.own || b.own, children);
}

/** What is in `a` and not in `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmpty(b)) return a;
  return fieldSet(
    a.own && !b.own,
    [...a.children].map(([name, child]) => {
      const other = b.children.get(name);
      return [name, other === undefined ? child : difference(child, other)] as const;
    }),
  );
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return fieldSet(
    a.own && b.own,
    [...a.children].flatMap(([name, child]) => {
      const other = b.children.get(name);
      return other === undefined ? [] : [[name, intersection(child, other)] as const];
    }),
  );
}

export function isSame(a: FieldSet, b: FieldSet): boolean {
  return isEmpty(difference(a, b)) && isEmpty(difference(b, a));
}

/** Without what is at these paths and below. */
export function without(set: FieldSet, paths: readonly (readonly string[])[]): FieldSet {
  return paths.reduce(cut, set);
}

function cut(set: FieldSet, path: readonly string[]): FieldSet {
  const [name, ...rest] = path;
  if (name === undefined) return EMPTY;
  const child = set.children.get(`f:${name}`);
  if (child === undefined) return set;
  const children = new Map(set.children);
  const left = cut(child, rest);
  if (isEmpty(left)) children.delete(`f:${name}`);
  else children.set(`f:${name}`, left);
  return make(set.own, children);
}

/** Every path of the set, as keys of `fieldsV1`. */
export function pathsOf(set: FieldSet, prefix: readonly string[] = []): (readonly string[])[] {
  const below = [...set.children].flatMap(([name, child]) => pathsOf(child, [...prefix, name]));
  return set.own ? [prefix, ...below] : below;
}

/** `.spec.containers[name="c"].image`, as conflicts are told. */
export function pathText(path: readonly string[]): string {
  return path.map((step) => {
    const rest = step.slice(2);
    if (step.startsWith("f:")) return `.${rest}`;
    if (step.startsWith("v:")) return `[=${rest}]`;
    if (step.startsWith("i:")) return `[${rest}]`;
    const keys: unknown = JSON.parse(rest);
    const named = isRecord(keys)
      ? Object.keys(keys).sort().map((key) => `${key}=${JSON.stringify(keys[key])}`)
      : [];
    return `[${named.join(",")}]`;
  }).join("");
}

/** As `fieldsV1` has it. */
export function encodeFields(set: FieldSet): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  if (set.own && set.children.size > 0) out["."] = {};
  for (const name of [...set.children.keys()].sort()) {
    const child = set.children.get(name);
    if (child !== undefined) out[name] = encodeFields(child);
  }
  return out;
}

/** @returns undefined for anything that is not `fieldsV1`. */
export function decodeFields(value: unknown, depth = 0): FieldSet | undefined {
  if (!isRecord(value) || depth > MAX_DEPTH) return undefined;
  const names = Object.keys(value);
  if (names.length === 0) return depth === 0 ? EMPTY : OWN;
  const children: [string, FieldSet][] = [];
  for (const name of names) {
    if (name === ".") continue;
    if (!isStep(name)) return undefined;
    const child = decodeFields(value[name], depth + 1);
    if (child === undefined) return undefined;
    children.push([name, child]);
  }
  return fieldSet(Object.hasOwn(value, "."), children);
}

function isStep(name: string): boolean {
  if (name.startsWith("f:")) return true;
  if (name.startsWith("i:")) return /^i:\d{1,9}$/.test(name);
  if (!name.startsWith("k:") && !name.startsWith("v:")) return false;
  try {
    const value: unknown = JSON.parse(name.slice(2));
    return name.startsWith("v:") || isRecord(value);
  } catch {
    return false;
  }
}
