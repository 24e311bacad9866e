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
export interface SharedObjects {
  readonly current: WeakMap<KeyValue, StoredObject>;
  /** What was before the key-value, under its revision. */
  readonly last: WeakMap<KeyValue, StoredObject>;
}

export function createSharedObjects(): SharedObjects {
  return { current: new WeakMap(), last: new WeakMap() };
}

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
  const batches = watcher[Symbol.asyncIterator]();
  const end = { done: true, value: undefined } as const;
  // Not a generator: each of its steps would be a turn of its own, for each of those who watch.
  async function next(): Promise<IteratorResult<readonly K8sWatchEvent[]>> {
    if (initial.length > 0) {
      const added = initial.map((object) => ({ type: "ADDED", object }) as const);
      initial = [];
      return { done: false, value: added };
    }
    try {
      for (;;) {
        const { done, value: batch } = await batches.next();
        if (done === true) return end;
        const out: K8sWatchEvent[] = [];
        for (const event of batch.events) {
          const translated = translate(shared, event, resource, predicate);
          if (translated !== undefined) out.push(translated);
        }
        reached = batch.revision;
        if (out.length > 0) return { done: false, value: out };
      }
    } catch (error) {
      watcher.close();
      if (
        error instanceof StoreError &&
        (error.code === "compacted" || error.code === "watch_overflow")
      ) throw expired();
      throw error;
    }
  }
  const events: AsyncIterable<readonly K8sWatchEvent[]> = {
    [Symbol.asyncIterator]: () => ({
      next,
      return: () => {
        watcher.close();
        return Promise.resolve(end);
      },
    }),
  };
  return { resource, events, revision: () => reached, close: () => watcher.close() };
}

function stored(shared: SharedObjects, resource: ResourceDefinition, kv: KeyValue): StoredObject {
  let object = shared.current.get(kv);
  // Two versions of one kind share the bytes, not the object.
  if (object === undefined || object.resource !== resource) {
    object = StoredObject.of(resource, kv);
    shared.current.set(kv, object);
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
    return was ? { type: "DELETED", object: last(shared, event, resource) } : undefined;
  }
  const object = stored(shared, resource, kv);
  const is = predicate === undefined || predicate(object.parse());
  if (is) return { type: was ? "MODIFIED" : "ADDED", object };
  return was ? { type: "DELETED", object: last(shared, event, resource) } : undefined;
}

/** The last state that was selected, under the revision that took it away. */
function last(
  shared: SharedObjects,
  { kv, prevKv }: WatchEvent,
  resource: ResourceDefinition,
): StoredObject {
  let object = shared.last.get(kv);
  if (object === undefined || object.resource !== resource) {
    const { value } = prevKv ?? kv;
    object = StoredObject.read(resource, decodeKey(kv.key), kv.modRevision, value);
    shared.last.set(kv, object);
  }
  return object;
}
