/**
 * The JSONPath that printer columns use: `.spec.a`, `.metadata.labels.a\.b`, `.status['a.b']`,
 * `.list[0]`, `.list[*]`, `.status.conditions[?(@.type=="Ready")].status`. Pure.
 */
import { isRecord } from "./plain.ts";

type Step =
  | { readonly kind: "field"; readonly name: string }
  | { readonly kind: "index"; readonly at: number }
  | { readonly kind: "all" }
  | {
    readonly kind: "filter";
    readonly path: readonly string[];
    readonly equal: boolean;
    readonly value: string | number | boolean;
  };

export type JsonPath = readonly Step[];

const MAX_STEPS = 64;
/** Of `[*]` over `[*]`: only the first is shown in any case. */
const MAX_RESULTS = 1_000;

/** @returns the path, or why it is none. */
export function parseJsonPath(text: string): JsonPath | string {
  const steps: Step[] = [];
  let rest = text.startsWith("{") && text.endsWith("}") ? text.slice(1, -1) : text;
  if (rest.startsWith("$")) rest = rest.slice(1);
  if (!rest.startsWith(".") && !rest.startsWith("[")) return "must begin with a dot";
  while (rest !== "") {
    if (steps.length === MAX_STEPS) return "is too long";
    const next = step(rest);
    if (next === undefined) return `cannot be read at "${rest.slice(0, 40)}"`;
    steps.push(next.step);
    rest = rest.slice(next.length);
  }
  return steps;
}

function step(text: string): { step: Step; length: number } | undefined {
  const field = /^\.((?:[A-Za-z0-9_$/-]|\\.)+)/.exec(text);
  if (field?.[1] !== undefined) {
    return { step: { kind: "field", name: unescape(field[1]) }, length: field[0].length };
  }
  const quoted = /^\.?\['([^']*)'\]/.exec(text) ?? /^\.?\["([^"]*)"\]/.exec(text);
  if (quoted?.[1] !== undefined) {
    return { step: { kind: "field", name: unescape(quoted[1]) }, length: quoted[0].length };
  }
  const index = /^\[(-?\d{1,9})\]/.exec(text);
  if (index?.[1] !== undefined) {
    return { step: { kind: "index", at: Number(index[1]) }, length: index[0].length };
  }
  const all = /^(\[\*\]|\.\*)/.exec(text);
  if (all !== null) return { step: { kind: "all" }, length: all[0].length };
  const filter =
    /^\[\?\(\s*@((?:\.(?:[A-Za-z0-9_$/-]|\\.)+)+)\s*(==|!=)\s*(?:"([^"]*)"|'([^']*)'|(-?\d+(?:\.\d+)?|true|false))\s*\)\]/
      .exec(text);
  if (filter?.[1] === undefined) return undefined;
  const path = (filter[1].match(/\.((?:[^.\\]|\\.)+)/g) ?? []).map((part) =>
    unescape(part.slice(1))
  );
  const literal = filter[5];
  const value = filter[3] ?? filter[4] ??
    (literal === "true" ? true : literal === "false" ? false : Number(literal));
  return {
    step: { kind: "filter", path, equal: filter[2] === "==", value },
    length: filter[0].length,
  };
}

function unescape(text: string): string {
  return text.replaceAll(/\\(.)/g, "$1");
}

/** Every value that the path finds, in order. */
export function findByPath(root: unknown, path: JsonPath): unknown[] {
  let values: unknown[] = [root];
  for (const next of path) {
    values = values.flatMap((value) => follow(value, next)).slice(0, MAX_RESULTS);
  }
  return values;
}

function follow(value: unknown, next: Step): readonly unknown[] {
  switch (next.kind) {
    case "field":
      return isRecord(value) && Object.hasOwn(value, next.name) ? [value[next.name]] : [];
    case "index": {
      const item = Array.isArray(value) ? value.at(next.at) : undefined;
      return item === undefined ? [] : [item];
    }
    case "all":
      return Array.isArray(value) ? value : isRecord(value) ? Object.values(value) : [];
    case "filter":
      return Array.isArray(value)
        ? value.filter((item) => (at(item, next.path) === next.value) === next.equal)
        : [];
  }
}

/** What stands at a path of plain fields; undefined where there is nothing. */
export function at(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (!isRecord(found) || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found;
}

/** The names of a path that is plain fields only; undefined for any other. */
export function plainFields(path: JsonPath): readonly string[] | undefined {
  const names = path.flatMap((next) => next.kind === "field" ? [next.name] : []);
  return names.length === path.length ? names : undefined;
}
