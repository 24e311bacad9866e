/**
 * Strategic merge patch: like a merge patch, but lists whose items have a key are merged by it.
 * Kubernetes keeps the keys in its Go types; here they stand in one table by field name.
 */
import { equalJson, isRecord } from "./prepare.ts";
import { StatusError } from "./status.ts";

/** Field of a list → what tells its items apart, the first that the items have. */
const MERGE_KEYS: Readonly<Record<string, readonly string[]>> = {
  containers: ["name"],
  initContainers: ["name"],
  ephemeralContainers: ["name"],
  volumes: ["name"],
  env: ["name"],
  imagePullSecrets: ["name"],
  secrets: ["name"],
  volumeMounts: ["mountPath"],
  volumeDevices: ["devicePath"],
  // Of a container, or of a service.
  ports: ["containerPort", "port"],
  hostAliases: ["ip"],
  podIPs: ["ip"],
  hostIPs: ["ip"],
  topologySpreadConstraints: ["topologyKey"],
  resourceClaims: ["name"],
  schedulingGates: ["name"],
  conditions: ["type"],
  addresses: ["type"],
  taints: ["key"],
  ownerReferences: ["uid"],
};

/** Lists of plain values that are merged as sets. */
const SETS: ReadonlySet<string> = new Set(["finalizers"]);

const DIRECTIVE = "$patch";
const RETAIN_KEYS = "$retainKeys";
const ORDER = "$setElementOrder/";
const DELETE_FROM = "$deleteFromPrimitiveList/";

/** @throws {StatusError} BadRequest for a directive that is none. */
export function strategicMerge(target: unknown, patch: Record<string, unknown>): unknown {
  return mergeObject(isRecord(target) ? target : {}, patch);
}

function bad(why: string): StatusError {
  return new StatusError("BadRequest", `strategic merge patch: ${why}`);
}

function mergeObject(
  target: Readonly<Record<string, unknown>>,
  patch: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const directive = patch[DIRECTIVE];
  if (directive === "replace") return mergeObject({}, withoutDirectives(patch));
  if (directive === "delete") return {};
  if (directive !== undefined && directive !== "merge") {
    throw bad(`unknown $patch "${String(directive)}"`);
  }
  const out: Record<string, unknown> = { ...target };
  const retain = patch[RETAIN_KEYS];
  if (retain !== undefined) {
    if (!Array.isArray(retain)) throw bad("$retainKeys is not a list");
    for (const key of Object.keys(out)) if (!retain.includes(key)) delete out[key];
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETE_FROM)) {
      const field = key.slice(DELETE_FROM.length);
      const gone = Array.isArray(value) ? value : [];
      const list = out[field];
      if (Array.isArray(list)) {
        out[field] = list.filter((item) => !gone.some((other) => equalJson(item, other)));
      }
    }
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith("$")) continue;
    if (value === null) delete out[key];
    else if (isRecord(value)) {
      const old = out[key];
      out[key] = mergeObject(isRecord(old) ? old : {}, value);
    } else if (Array.isArray(value)) out[key] = mergeList(key, out[key], value);
    else out[key] = value;
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith(ORDER)) continue;
    const field = key.slice(ORDER.length);
    const list = out[field];
    if (Array.isArray(list) && Array.isArray(value)) out[field] = inOrder(field, list, value);
  }
  return out;
}

function mergeList(field: string, target: unknown, patch: readonly unknown[]): unknown[] {
  const old: readonly unknown[] = Array.isArray(target) ? target : [];
  if (SETS.has(field) && patch.every((item) => typeof item === "string")) {
    return [...new Set([...old, ...patch])];
  }
  const replaces = patch.some((item) => isRecord(item) && item[DIRECTIVE] === "replace");
  const key = mergeKey(field, [...patch, ...old]);
  if (key === undefined || replaces) {
    return patch.filter((item) => !(isRecord(item) && item[DIRECTIVE] === "replace")).map(plain);
  }
  const out = [...old];
  for (const item of patch) {
    if (!isRecord(item)) throw bad(`"${field}" mixes objects and values`);
    const id = item[key];
    if (id === undefined) throw bad(`an item of "${field}" has no "${key}"`);
    const at = out.findIndex((other) => isRecord(other) && equalJson(other[key], id));
    if (item[DIRECTIVE] === "delete") {
      if (at !== -1) out.splice(at, 1);
      continue;
    }
    const before = at === -1 ? {} : out[at];
    const merged = mergeObject(isRecord(before) ? before : {}, item);
    if (at === -1) out.push(merged);
    else out[at] = merged;
  }
  return out;
}

function mergeKey(field: string, items: readonly unknown[]): string | undefined {
  const candidates = MERGE_KEYS[field];
  if (candidates === undefined || !items.every(isRecord)) return undefined;
  return candidates.find((key) => items.some((item) => Object.hasOwn(item, key))) ?? candidates[0];
}

/** Items in the order that the patch gives; what it does not name follows where it was. */
function inOrder(field: string, list: readonly unknown[], order: readonly unknown[]): unknown[] {
  const key = mergeKey(field, list);
  const idOf = (item: unknown) => key !== undefined && isRecord(item) ? item[key] : item;
  const position = (item: unknown) => {
    const at = order.findIndex((other) => equalJson(idOf(other), idOf(item)));
    return at === -1 ? order.length : at;
  };
  return list.toSorted((a, b) => position(a) - position(b));
}

/** What is new holds no directives any more, at any depth. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !(isRecord(item) && item[DIRECTIVE] === "delete")).map((item) =>
      plain(item)
    );
  }
  return isRecord(value) ? mergeObject({}, withoutDirectives(value)) : value;
}

function withoutDirectives(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith("$")));
}
