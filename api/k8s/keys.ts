/**
 * Where an object lies in the `k8s` keyspace: `/registry/{group or "core"}/{plural}/[{namespace}/]{name}`.
 * The group stands in the key, so that two groups may use one plural.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { KeyRange } from "../../store/mod.ts";
import type { ResourceDefinition } from "./resources.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The key as text. `namespace` is "" for a resource of the whole cluster. */
export function objectKey(resource: ResourceDefinition, namespace: string, name: string): string {
  return `${collectionPrefix(resource, namespace)}${name}`;
}

/** Everything below this prefix is of this kind; with a namespace, of this kind and namespace. */
export function collectionPrefix(resource: ResourceDefinition, namespace: string): string {
  const base = `/registry/${resource.group === "" ? "core" : resource.group}/${resource.plural}/`;
  return resource.namespaced && namespace !== "" ? `${base}${namespace}/` : base;
}

export function encodeKey(key: string): Bytes {
  return encoder.encode(key);
}

export function decodeKey(key: Bytes): string {
  return decoder.decode(key);
}

/** All keys with this prefix, from `start` on where one is given (as etcd's range end of a prefix). */
export function prefixRange(prefix: string, start = prefix): KeyRange & { rangeEnd: Bytes } {
  const rangeEnd = encoder.encode(prefix);
  // Prefixes end in "/", so the last byte can always be raised.
  rangeEnd[rangeEnd.length - 1] = (rangeEnd[rangeEnd.length - 1] ?? 0) + 1;
  return { key: encoder.encode(start), rangeEnd };
}
