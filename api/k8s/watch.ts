/** Watching a collection: what the store reports, as Kubernetes' ADDED, MODIFIED, DELETED. */
import type { KeyValue, Store, Watcher, WatchEvent } from "../../store/mod.ts";
import { StoreError } from "../../store/mod.ts";
import { expired } from "./errors.ts";
import { collectionPrefix, decodeKey, encodeKey, objectKey, prefixRange } from "./keys.ts";
import { StoredObject } from "./objects.ts";
import { listObjects, parseResourceVersion, selection, tooLarge } from "./read.ts";
import type { K8sRequest, RequestOptions } from "./request.ts";
import type { ResourceDefinition } from "./resources.ts";
import { pinnedName, type Predicate } from "./selectors.ts";

export type K8sWatchEvent = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: StoredObject;
};

export type WatchOptions = Pick<
  RequestOptions,
  "labelSelector" | "fieldSelector" | "resourceVersion"
>;

/** Iterate `events`; a reader too slow, or history compacted meanwhile, ends it with StatusError Expired. */
export interface K8sWatch {
  readonly resource: ResourceDefinition;
  readonly events: AsyncIterable<readonly K8sWatchEvent[]>;
  /** Everything up to this revision has been handed out; what a bookmark may say. */
  revision(): number;
  close(): void;
}

/** One object per key-value, shared by all watchers of it: what is encoded once is encoded for all. */
export type SharedObjects = WeakMap<KeyValue, StoredObject>;

/**
 * Without a resource version (or with "0") the watch begins with what exists, as ADDED; with one it
 * begins right after it.
 *
 * @throws {StatusError} BadRequest, Expired, Timeout for a version that is still to come.
 */
export async function openWatch(
  store: Store,
  resource: ResourceDefinition,
  request: Pick<K8sRequest, "namespace" | "name">,
  options: WatchOptions,
  shared: SharedObjects,
): Promise<K8sWatch> {
  const fieldSelector = request.name === ""
    ? options.fieldSelector ?? ""
    : `metadata.name=${request.name}`;
  const predicate = selection({ ...options, fieldSelector }, resource);
  const version = parseResourceVersion(options.resourceVersion ?? "0");
  let initial: readonly StoredObject[] = [];
  let from = version;
  if (version === 0) {
    const { resourceVersion: _, ...selectors } = { ...options, fieldSelector };
    const list = await listObjects(store, resource, request.namespace, selectors);
    initial = list.items;
    from = list.revision;
  } else if (version > store.revision("k8s")) {
    throw tooLarge(version, store.revision("k8s"));
  }
  const name = pinnedName(fieldSelector);
  const single = name !== undefined && (request.namespace !== "" || !resource.namespaced);
  const range = single
    ? { key: encodeKey(objectKey(resource, request.namespace, name)) }
    : prefixRange(collectionPrefix(resource, request.namespace));
  let watcher: Watcher;
  try {
    watcher = store.watch("k8s", { ...range, startRevision: from + 1, prevKv: true });
  } catch (error) {
    if (error instanceof StoreError && error.code === "compacted") throw expired();
    throw error;
  }
  let reached = from;
  async function* events(): AsyncGenerator<readonly K8sWatchEvent[]> {
    if (initial.length > 0) yield initial.map((object) => ({ type: "ADDED", object }));
    initial = [];
    try {
      for await (const batch of watcher) {
        const out: K8sWatchEvent[] = [];
        for (const event of batch.events) {
          const translated = translate(shared, event, resource, predicate);
          if (translated !== undefined) out.push(translated);
        }
        reached = batch.revision;
        if (out.length > 0) yield out;
      }
    } catch (error) {
      if (
        error instanceof StoreError &&
        (error.code === "compacted" || error.code === "watch_overflow")
      ) throw expired();
      throw error;
    } finally {
      watcher.close();
    }
  }
  return { resource, events: events(), revision: () => reached, close: () => watcher.close() };
}

function stored(shared: SharedObjects, resource: ResourceDefinition, kv: KeyValue): StoredObject {
  let object = shared.get(kv);
  // Two versions of one kind share the bytes, not the object.
  if (object === undefined || object.resource !== resource) {
    object = StoredObject.of(resource, kv);
    shared.set(kv, object);
  }
  return object;
}

/** An object that enters or leaves the selection is ADDED or DELETED to whoever watches it. */
function translate(
  shared: SharedObjects,
  event: WatchEvent,
  resource: ResourceDefinition,
  predicate: Predicate | undefined,
): K8sWatchEvent | undefined {
  const { kv, prevKv } = event;
  const was = prevKv !== undefined &&
    (predicate === undefined || predicate(StoredObject.of(resource, prevKv).parse()));
  if (event.type === "delete") {
    return was ? { type: "DELETED", object: last(event, resource) } : undefined;
  }
  const object = stored(shared, resource, kv);
  const is = predicate === undefined || predicate(object.parse());
  if (is) return { type: was ? "MODIFIED" : "ADDED", object };
  return was ? { type: "DELETED", object: last(event, resource) } : undefined;
}

/** The last state that was selected, under the revision that took it away. */
function last({ kv, prevKv }: WatchEvent, resource: ResourceDefinition): StoredObject {
  return StoredObject.read(resource, decodeKey(kv.key), kv.modRevision, (prevKv ?? kv).value);
}
