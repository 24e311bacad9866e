/** What plans of writes have in common: guards, and one object put and answered with. */
import type { Compare, Operation, Store } from "../../store/mod.ts";
import type { Verb } from "./authorize.ts";
import { encodeKey, prefixRange } from "./keys.ts";
import {
  encodeServed,
  encodeStored,
  isStoredAsServed,
  type KubernetesObject,
  StoredObject,
} from "./objects.ts";
import type { NamespaceGuards } from "./namespace_guards.ts";
import { kubernetesTime, type Sources } from "./prepare.ts";
import type { ChangeRecord, K8sRequest, Planned } from "./request.ts";
import type { ResourceDefinition, ResourceTable } from "./resources.ts";
import type { KindSchemas } from "./schema.ts";
import { StatusError } from "./status.ts";

export interface PlanContext {
  readonly store: Store;
  /** Every kind that there is now. */
  readonly table: ResourceTable;
  /** The kinds that are always there. */
  readonly fixed: ResourceTable;
  readonly sources: Sources;
  readonly schemas: KindSchemas;
  readonly namespaces: NamespaceGuards;
  readonly resource: ResourceDefinition;
  readonly request: K8sRequest;
  /** @throws {StatusError} Forbidden where the user may not do this to the same object. */
  require(verb: Verb): Promise<void>;
}

/** The namespace's own definition. @throws {TypeError} if the table has none. */
export function namespaceResource(table: ResourceTable): ResourceDefinition {
  const resource = table.byPlural("", "v1", "namespaces");
  if (resource === undefined) throw new TypeError("the resource table has no namespaces");
  return resource;
}

/** Equal as long as nobody has touched the key since `object` was read; undefined: there is none. */
export function unchanged(key: string, object: StoredObject | undefined): Compare {
  return {
    keyspace: "k8s",
    key: encodeKey(key),
    target: "mod",
    result: "equal",
    operand: object?.revision ?? 0,
  };
}

/** Most bytes of one stored object: what etcd takes in one request. */
export const MAX_STORED_BYTES = 1.5 * 1024 * 1024;

/**
 * Refuses a document that cannot be stored, before anything costly is done with it. What is being
 * deleted may be as large as it is.
 *
 * @throws {StatusError} RequestEntityTooLarge
 */
export function requireStorable(document: unknown): void {
  // Never more bytes than there will be: a character is one at least.
  requireSize(JSON.stringify(document)?.length ?? 0);
}

function requireSize(bytes: number): void {
  if (bytes <= MAX_STORED_BYTES) return;
  throw new StatusError(
    "RequestEntityTooLarge",
    `Request entity too large: limit is ${MAX_STORED_BYTES}`,
  );
}

/**
 * Puts the object and answers with it. A dry run answers the same and writes nothing.
 *
 * @throws {StatusError} RequestEntityTooLarge, but for an object that is being deleted.
 */
export function writePlan(
  context: PlanContext,
  key: string,
  object: KubernetesObject,
  code: 200 | 201,
  status: ChangeRecord["status"],
  compare: readonly Compare[],
): Planned {
  const { resource, request, store } = context;
  const served = encodeServed(object, resource);
  if (object.metadata.deletionTimestamp === undefined) requireSize(served.length);
  const answer = (revision: number) => ({
    kind: "object" as const,
    code,
    object: new StoredObject(resource, key, revision, served),
  });
  if (request.options?.dryRun === true) {
    return { kind: "done", outcome: answer(store.revision("k8s")) };
  }
  // What is served is what is stored, but for a custom object in another version.
  const value = isStoredAsServed(resource) ? served : encodeStored(object, resource);
  const operations: Operation[] = [{ type: "put", keyspace: "k8s", key: encodeKey(key), value }];
  return {
    kind: "write",
    compare,
    operations,
    outcome: (revision) => ({ ...answer(revision), change: { status, key } }),
  };
}

/** No key of the prefix is newer than `revision`: nothing came or changed since it was listed. */
export function nothingNewer(prefix: string, revision: number): Compare {
  return {
    keyspace: "k8s",
    ...prefixRange(prefix),
    target: "mod",
    result: "less",
    operand: revision + 1,
  };
}

/** The object as it waits for its finalizers; undefined where it does already. */
export function markForDeletion(
  object: KubernetesObject,
  context: PlanContext,
): KubernetesObject | undefined {
  const { metadata } = object;
  if (metadata.deletionTimestamp !== undefined) return undefined;
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(metadata.generation === undefined ? {} : { generation: metadata.generation + 1 }),
      deletionTimestamp: kubernetesTime(context.sources.clock()),
      deletionGracePeriodSeconds: 0,
    },
  };
}
