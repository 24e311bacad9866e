/** Get and list: from the newest revision or, while paging, from the one the first page was read at. */
import type { KeyValue, Store } from "../../store/mod.ts";
import { StoreError } from "../../store/mod.ts";
import { expired, notFound } from "./errors.ts";
import { collectionPrefix, decodeKey, encodeKey, objectKey, prefixRange } from "./keys.ts";
import { StoredObject } from "./objects.ts";
import type { K8sRequest, ListOutcome, RequestOptions } from "./request.ts";
import type { ResourceDefinition } from "./resources.ts";
import { parseFieldSelector, parseLabelSelector, pinnedName, type Predicate } from "./selectors.ts";
import { StatusError } from "./status.ts";

/** Most that one page may hold, whatever the client asks. */
export const MAX_PAGE = 10_000;

/** The object, or undefined where there is none. */
export async function readObject(
  store: Store,
  resource: ResourceDefinition,
  namespace: string,
  name: string,
): Promise<StoredObject | undefined> {
  const response = await store.range("k8s", {
    key: encodeKey(objectKey(resource, namespace, name)),
  });
  const [kv] = response.kvs;
  return kv === undefined ? undefined : StoredObject.of(resource, kv);
}

/** @throws {StatusError} NotFound */
export async function getObject(
  store: Store,
  resource: ResourceDefinition,
  request: K8sRequest,
): Promise<StoredObject> {
  const object = await readObject(store, resource, request.namespace, request.name);
  if (object === undefined) throw notFound(resource, request.name);
  return object;
}

/** Selectors of a list or watch as one predicate; undefined: everything. @throws {StatusError} */
export function selection(
  options: RequestOptions,
  resource: ResourceDefinition,
): Predicate | undefined {
  const labels = parseLabelSelector(options.labelSelector ?? "");
  const fields = parseFieldSelector(options.fieldSelector ?? "", resource);
  if (labels === undefined) return fields;
  if (fields === undefined) return labels;
  return (object) => labels(object) && fields(object);
}

/** Where the next page begins; opaque to clients, checked when it comes back. */
interface ContinueToken {
  readonly revision: number;
  /** Key of the first object of the next page, relative to the collection. */
  readonly start: string;
}

function encodeContinue(token: ContinueToken): string {
  const text = JSON.stringify({ v: 1, rv: token.revision, start: token.start });
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}

function decodeContinue(text: string): ContinueToken {
  const invalid = () => new StatusError("BadRequest", "continue key is not valid");
  try {
    const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof value !== "object" || value === null) throw invalid();
    const { v, rv, start } = value as Readonly<Record<string, unknown>>;
    if (v !== 1 || !Number.isSafeInteger(rv) || typeof rv !== "number" || rv < 1) throw invalid();
    if (typeof start !== "string" || start === "" || start.length > 1024) throw invalid();
    return { revision: rv, start };
  } catch {
    throw invalid();
  }
}

/** A resource version as clients send it. @throws {StatusError} BadRequest */
export function parseResourceVersion(text: string): number {
  if (!/^(0|[1-9][0-9]{0,15})$/.test(text)) {
    throw new StatusError("BadRequest", `Invalid value: "${text.slice(0, 40)}": resourceVersion`);
  }
  return Number(text);
}

/** @throws {StatusError} BadRequest, Expired */
export async function listObjects(
  store: Store,
  resource: ResourceDefinition,
  namespace: string,
  options: RequestOptions,
): Promise<ListOutcome> {
  const predicate = selection(options, resource);
  const prefix = collectionPrefix(resource, namespace);
  const limit = Math.min(options.limit ?? 0, MAX_PAGE);
  let revision = readRevision(store, options);
  let start = prefix;
  if (options.continueToken !== undefined && options.continueToken !== "") {
    const token = decodeContinue(options.continueToken);
    revision = token.revision;
    start = prefix + token.start;
  }
  const name = pinnedName(options.fieldSelector ?? "");
  const single = name !== undefined && (namespace !== "" || !resource.namespaced);

  const items: StoredObject[] = [];
  let remaining: number | undefined;
  let next: string | undefined;
  for (;;) {
    const range = single
      ? { key: encodeKey(objectKey(resource, namespace, name)) }
      : prefixRange(prefix, start);
    // One more than asked, to know where the next page begins.
    const wanted = limit === 0 ? 0 : limit - items.length + 1;
    const response = await readRange(store, { ...range, revision, limit: wanted });
    revision = revision === 0 ? response.revision : revision;
    const taken = takeMatching(response.kvs, resource, predicate, limit, items);
    const following = response.kvs[taken];
    if (following !== undefined) {
      next = decodeKey(following.key).slice(prefix.length);
      if (predicate === undefined) remaining = response.count - taken;
      break;
    }
    if (!response.more) break;
    const last = response.kvs.at(-1);
    if (last === undefined) break;
    start = `${decodeKey(last.key)}\0`;
  }
  return {
    kind: "list",
    code: 200,
    resource,
    items,
    revision,
    ...(next === undefined ? {} : { continueToken: encodeContinue({ revision, start: next }) }),
    ...(remaining === undefined ? {} : { remaining }),
  };
}

/** Appends what matches until `limit` is reached; returns how many entries were looked at. */
function takeMatching(
  kvs: readonly KeyValue[],
  resource: ResourceDefinition,
  predicate: Predicate | undefined,
  limit: number,
  into: StoredObject[],
): number {
  let looked = 0;
  for (const kv of kvs) {
    if (limit !== 0 && into.length === limit) return looked;
    const object = StoredObject.of(resource, kv);
    if (predicate === undefined || predicate(object.parse())) into.push(object);
    looked++;
  }
  return looked;
}

/** "" and "0" and NotOlderThan are served from the newest, which is never older; Exact is exact. */
function readRevision(store: Store, options: RequestOptions): number {
  const text = options.resourceVersion ?? "";
  if (text === "") {
    if (options.resourceVersionMatch !== undefined) {
      throw new StatusError(
        "BadRequest",
        "resourceVersionMatch is forbidden unless resourceVersion is provided",
      );
    }
    return 0;
  }
  const version = parseResourceVersion(text);
  if (options.resourceVersionMatch === "Exact") {
    if (version === 0) {
      throw new StatusError("BadRequest", "resourceVersionMatch Exact is forbidden for 0");
    }
    return version;
  }
  if (version > store.revision("k8s")) throw tooLarge(version, store.revision("k8s"));
  return 0;
}

export function tooLarge(wanted: number, current: number): StatusError {
  return new StatusError(
    "Timeout",
    `Too large resource version: ${wanted}, current: ${current}`,
    {
      details: {
        causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      },
    },
  );
}

async function readRange(store: Store, range: Parameters<Store["range"]>[1]) {
  try {
    return await store.range("k8s", range);
  } catch (error) {
    if (error instanceof StoreError && error.code === "compacted") throw expired();
    if (error instanceof StoreError && error.code === "future_revision") {
      throw tooLarge(range.revision ?? 0, store.revision("k8s"));
    }
    throw error;
  }
}
