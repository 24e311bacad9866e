/**
 * Strategic merge patch: like a merge patch, but lists whose items have a key are merged by it. The
 * keys are those of the kind's own description.
 */
import { equalJson, isRecord } from "./prepare.ts";
import type { FieldSpec, KindSchemas, MessageSpec } from "./schema.ts";
import { StatusError } from "./status.ts";

const DIRECTIVE = "$patch";
const RETAIN_KEYS = "$retainKeys";
const ORDER = "$setElementOrder/";
const DELETE_FROM = "$deleteFromPrimitiveList/";

/** @throws {StatusError} BadRequest for a directive that is none. */
export function strategicMerge(
  target: unknown,
  patch: Record<string, unknown>,
  message: MessageSpec | undefined,
  schemas: KindSchemas,
): unknown {
  return new StrategicMerge(schemas).object(isRecord(target) ? target : {}, patch, message);
}

function bad(why: string): StatusError {
  return new StatusError("BadRequest", `strategic merge patch: ${why}`);
}

class StrategicMerge {
  readonly #schemas: KindSchemas;

  constructor(schemas: KindSchemas) {
    this.#schemas = schemas;
  }

  object(
    target: Readonly<Record<string, unknown>>,
    patch: Readonly<Record<string, unknown>>,
    message: MessageSpec | undefined,
  ): Record<string, unknown> {
    const directive = patch[DIRECTIVE];
    if (directive === "replace") return this.object({}, withoutDirectives(patch), message);
    if (directive === "delete") return {};
    if (directive !== undefined && directive !== "merge") {
      throw bad(`unknown $patch "${String(directive)}"`);
    }
    const out: Record<string, unknown> = { ...target };
    retainKeys(out, patch[RETAIN_KEYS]);
    for (const [key, value] of Object.entries(patch)) {
      if (key.startsWith(DELETE_FROM)) deleteFrom(out, key.slice(DELETE_FROM.length), value);
    }
    for (const [key, value] of Object.entries(patch)) {
      if (key.startsWith("$")) continue;
      const field = message?.byName.get(key);
      if (value === null) delete out[key];
      else if (isRecord(value)) {
        const old = out[key];
        const inner = field?.shape === "one" ? this.#messageOf(field) : undefined;
        out[key] = this.object(isRecord(old) ? old : {}, value, inner);
      } else if (Array.isArray(value)) out[key] = this.#list(key, out[key], value, field);
      else out[key] = value;
    }
    for (const [key, value] of Object.entries(patch)) {
      if (!key.startsWith(ORDER)) continue;
      const name = key.slice(ORDER.length);
      const list = out[name];
      if (!Array.isArray(list) || !Array.isArray(value)) continue;
      const merge = message?.byName.get(name)?.merge;
      out[name] = inOrder(list, value, typeof merge === "object" ? merge.key : undefined);
    }
    return out;
  }

  #messageOf(field: FieldSpec | undefined): MessageSpec | undefined {
    return typeof field?.type === "object" ? this.#schemas.message(field.type.message) : undefined;
  }

  #list(
    name: string,
    target: unknown,
    patch: readonly unknown[],
    field: FieldSpec | undefined,
  ): unknown[] {
    const old: readonly unknown[] = Array.isArray(target) ? target : [];
    const message = this.#messageOf(field);
    const replaces = patch.some((item) => isRecord(item) && item[DIRECTIVE] === "replace");
    if (field?.merge === undefined || replaces) {
      return patch.filter((item) => !(isRecord(item) && item[DIRECTIVE] !== undefined)).map((
        item,
      ) => this.#plain(item, message));
    }
    if (field.merge === "set") {
      return [...old, ...patch.filter((item) => !old.some((other) => equalJson(other, item)))];
    }
    const { key } = field.merge;
    const out = [...old];
    for (const item of patch) {
      if (!isRecord(item)) throw bad(`an item of "${name}" is not an object`);
      const id = item[key];
      if (id === undefined) throw bad(`an item of "${name}" has no "${key}"`);
      const at = out.findIndex((other) => isRecord(other) && equalJson(other[key], id));
      if (item[DIRECTIVE] === "delete") {
        if (at !== -1) out.splice(at, 1);
        continue;
      }
      const before = at === -1 ? {} : out[at];
      const merged = this.object(isRecord(before) ? before : {}, item, message);
      if (at === -1) out.push(merged);
      else out[at] = merged;
    }
    return out;
  }

  /** What is new holds no directives any more, at any depth. */
  #plain(value: unknown, message: MessageSpec | undefined): unknown {
    return isRecord(value) ? this.object({}, withoutDirectives(value), message) : value;
  }
}

function retainKeys(out: Record<string, unknown>, retain: unknown): void {
  if (retain === undefined) return;
  if (!Array.isArray(retain)) throw bad("$retainKeys is not a list");
  for (const key of Object.keys(out)) if (!retain.includes(key)) delete out[key];
}

function deleteFrom(out: Record<string, unknown>, name: string, value: unknown): void {
  const list = out[name];
  if (!Array.isArray(list) || !Array.isArray(value)) return;
  out[name] = list.filter((item) => !value.some((other) => equalJson(item, other)));
}

/** Items in the order that the patch gives; what it does not name follows where it was. */
function inOrder(
  list: readonly unknown[],
  order: readonly unknown[],
  key: string | undefined,
): unknown[] {
  const idOf = (item: unknown) => key !== undefined && isRecord(item) ? item[key] : item;
  const position = (item: unknown) => {
    const at = order.findIndex((other) => equalJson(idOf(other), idOf(item)));
    return at === -1 ? order.length : at;
  };
  return list.toSorted((a, b) => position(a) - position(b));
}

function withoutDirectives(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith("$")));
}
