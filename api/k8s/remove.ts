/** Deleting: preconditions, finalizers, collections, and a namespace with all that is in it. */
import * as v from "valibot";
import type { Compare, Operation } from "../../store/mod.ts";
import { conflict, notFound } from "./errors.ts";
import { collectionPrefix, decodeKey, encodeKey, objectKey, prefixRange } from "./keys.ts";
import { definitionResource, isDefinition } from "./crd/kinds.ts";
import { planDefinitionDelete, waitingDefinition } from "./crd/plan.ts";
import {
  markForDeletion,
  namespaceResource,
  nothingNewer,
  type PlanContext,
  unchanged,
  writePlan,
} from "./plan.ts";
import { encodeServed, encodeStored, type KubernetesObject, StoredObject } from "./objects.ts";
import { listObjects, readObject } from "./read.ts";
import type { Planned } from "./request.ts";
import { distinctKinds } from "./resources.ts";
import { StatusError, successStatus } from "./status.ts";

const deleteOptions = v.strictObject({
  apiVersion: v.optional(v.string()),
  kind: v.optional(v.literal("DeleteOptions")),
  gracePeriodSeconds: v.nullish(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
  propagationPolicy: v.nullish(v.picklist(["Orphan", "Background", "Foreground"])),
  orphanDependents: v.nullish(v.boolean()),
  preconditions: v.nullish(v.strictObject({
    uid: v.nullish(v.string()),
    resourceVersion: v.nullish(v.string()),
  })),
  dryRun: v.nullish(v.array(v.literal("All"))),
  ignoreStoreReadErrorWithClusterBreakingPotential: v.nullish(v.literal(false)),
});
type DeleteOptions = v.InferOutput<typeof deleteOptions>;

/** Namespaces that the cluster cannot be without. */
const PERMANENT_NAMESPACES: readonly string[] = ["default", "kube-system", "kube-public"];

function decodeDeleteOptions(body: unknown): DeleteOptions {
  if (body === undefined) return {};
  const result = v.safeParse(deleteOptions, body, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new StatusError(
    "BadRequest",
    `DeleteOptions: field "${v.getDotPath(issue) ?? ""}": expected ${
      issue.expected ?? "another value"
    }`,
  );
}

/** Whether the body of a delete asks for a dry run (the query may too). */
function dryRunOf(context: PlanContext, options: DeleteOptions): PlanContext {
  if ((options.dryRun ?? []).length === 0) return context;
  const request = { ...context.request, options: { ...context.request.options, dryRun: true } };
  return { ...context, request };
}

/** @throws {StatusError} NotFound, Conflict on a precondition, Forbidden for a permanent namespace. */
export async function planDelete(given: PlanContext): Promise<Planned> {
  const { store, resource, request } = given;
  const options = decodeDeleteOptions(request.body);
  const context = dryRunOf(given, options);
  const current = await readObject(store, resource, request.namespace, request.name);
  if (current === undefined) throw notFound(resource, request.name);
  const object = current.parse();
  const { uid, resourceVersion } = options.preconditions ?? {};
  if (typeof uid === "string" && uid !== object.metadata.uid) {
    throw conflict(
      resource,
      request.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid}`,
    );
  }
  if (typeof resourceVersion === "string" && resourceVersion !== String(current.revision)) {
    throw conflict(
      resource,
      request.name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${current.revision}`,
    );
  }
  if (resource === namespaceResource(context.table)) return await planNamespace(context, current);
  if (isDefinition(resource)) return await planDefinitionDelete(context, current);
  if ((object.metadata.finalizers ?? []).length > 0) return planMark(context, current);
  return await planRemoval(context, current, undefined);
}

/** Every matching object of the collection, in one transaction. */
export async function planDeleteCollection(given: PlanContext): Promise<Planned> {
  const { store, resource, request } = given;
  const context = dryRunOf(given, decodeDeleteOptions(request.body));
  if (resource === namespaceResource(context.table)) {
    throw new StatusError("MethodNotAllowed", "namespaces are deleted one at a time");
  }
  if (isDefinition(resource)) {
    throw new StatusError(
      "MethodNotAllowed",
      "CustomResourceDefinitions are deleted one at a time",
    );
  }
  const { limit: _, continueToken: __, ...options } = context.request.options ?? {};
  const { items } = await listObjects(store, resource, request.namespace, options);
  const compare: Compare[] = [];
  const operations: Operation[] = [];
  for (const item of items) {
    const object = item.parse();
    if ((object.metadata.finalizers ?? []).length > 0) {
      const marked = markForDeletion(object, context);
      if (marked === undefined) continue;
      operations.push(put(item, marked));
    } else {
      operations.push({ type: "delete", keyspace: "k8s", key: encodeKey(item.key) });
    }
    compare.push(unchanged(item.key, item));
  }
  const outcome = () => ({
    kind: "status" as const,
    code: 200 as const,
    status: successStatus({ group: resource.group, kind: resource.plural }),
  });
  if (operations.length === 0 || context.request.options?.dryRun === true) {
    return { kind: "done", outcome: outcome() };
  }
  const key = collectionPrefix(resource, request.namespace);
  return {
    kind: "write",
    compare,
    operations,
    outcome: () => ({ ...outcome(), change: { status: "deleted", key } }),
  };
}

/**
 * Takes the object away, and its namespace too where that was only waiting for it.
 *
 * @param answer the object to answer with (the last finalizer was taken off); undefined: a Status.
 */
export async function planRemoval(
  context: PlanContext,
  current: StoredObject,
  answer: KubernetesObject | undefined,
): Promise<Planned> {
  const { resource, request, store } = context;
  const { key } = current;
  const object = current.parse();
  const last = answer === undefined ? undefined : encodeServed(answer, resource);
  const outcome = (revision: number) =>
    last === undefined
      ? {
        kind: "status" as const,
        code: 200 as const,
        status: successStatus({
          name: object.metadata.name,
          group: resource.group,
          kind: resource.plural,
          uid: object.metadata.uid,
        }),
      }
      : {
        kind: "object" as const,
        code: 200 as const,
        object: new StoredObject(resource, key, revision, last),
      };
  if (request.options?.dryRun === true) {
    return { kind: "done", outcome: outcome(store.revision("k8s")) };
  }
  const waiting = [
    resource.namespaced ? await waitingNamespace(context, request.namespace, key) : undefined,
    await waitingDefinition(context, key),
  ].filter((rest) => rest !== undefined);
  return {
    kind: "write",
    compare: [unchanged(key, current), ...waiting.flatMap((rest) => rest.compare)],
    operations: [
      { type: "delete", keyspace: "k8s", key: encodeKey(key) },
      ...waiting.flatMap((rest) => rest.operations),
    ],
    outcome: (revision) => ({ ...outcome(revision), change: { status: "deleted", key } }),
  };
}

/** Sets the deletion timestamp; whoever owns a finalizer takes it off when it is done. */
function planMark(context: PlanContext, current: StoredObject): Planned {
  const marked = markForDeletion(current.parse(), context);
  if (marked === undefined) {
    return { kind: "done", outcome: { kind: "object", code: 200, object: current } };
  }
  const { key } = current;
  return writePlan(context, key, marked, 200, "deleted", [unchanged(key, current)]);
}

function put(item: StoredObject, object: KubernetesObject): Operation {
  const value = encodeStored(object, item.resource);
  return { type: "put", keyspace: "k8s", key: encodeKey(item.key), value };
}

/**
 * A namespace goes with everything in it, in one transaction. What has finalizers is marked instead,
 * and then the namespace stays as Terminating until the last of it is gone.
 */
async function planNamespace(context: PlanContext, current: StoredObject): Promise<Planned> {
  const { store, table, resource, request } = context;
  const { name } = request;
  if (PERMANENT_NAMESPACES.includes(name)) {
    throw new StatusError(
      "Forbidden",
      `namespaces "${name}" is forbidden: this namespace may not be deleted`,
      {
        details: { name, kind: resource.plural },
      },
    );
  }
  const object = current.parse();
  const definitions = definitionResource(context.fixed);
  const compare: Compare[] = [
    unchanged(current.key, current),
    // No kind comes between.
    nothingNewer(
      collectionPrefix(definitions, ""),
      (await listObjects(store, definitions, "", {})).revision,
    ),
  ];
  const operations: Operation[] = [];
  let waits = (object.metadata.finalizers ?? []).length > 0;
  for (const kind of distinctKinds(table)) {
    if (!kind.namespaced) continue;
    const { items, revision } = await listObjects(store, kind, name, {});
    compare.push(nothingNewer(collectionPrefix(kind, name), revision));
    for (const item of items) {
      const content = item.parse();
      if ((content.metadata.finalizers ?? []).length === 0) {
        operations.push({ type: "delete", keyspace: "k8s", key: encodeKey(item.key) });
        continue;
      }
      waits = true;
      const marked = markForDeletion(content, context);
      if (marked !== undefined) operations.push(put(item, marked));
    }
  }
  const terminating: KubernetesObject = {
    ...(markForDeletion(object, context) ?? object),
    status: { phase: "Terminating" },
  };
  const encoded = encodeStored(terminating, resource);
  operations.push(
    waits
      ? { type: "put", keyspace: "k8s", key: encodeKey(current.key), value: encoded }
      : { type: "delete", keyspace: "k8s", key: encodeKey(current.key) },
  );
  const outcome = (revision: number) => ({
    kind: "object" as const,
    code: 200 as const,
    object: new StoredObject(resource, current.key, revision, encoded),
  });
  if (request.options?.dryRun === true) {
    return { kind: "done", outcome: outcome(store.revision("k8s")) };
  }
  return {
    kind: "write",
    compare,
    operations,
    outcome: (revision) => ({
      ...outcome(revision),
      change: { status: "deleted", key: current.key },
    }),
  };
}

/** Where `key` is the last thing in a namespace that is going away: how the namespace goes with it. */
async function waitingNamespace(
  context: PlanContext,
  namespace: string,
  key: string,
): Promise<{ compare: Compare[]; operations: Operation[] } | undefined> {
  const { store, table } = context;
  const resource = namespaceResource(table);
  const found = await readObject(store, resource, "", namespace);
  if (found === undefined) return undefined;
  const { metadata } = found.parse();
  if (metadata.deletionTimestamp === undefined) return undefined;
  if ((metadata.finalizers ?? []).length > 0) return undefined;
  const compare: Compare[] = [unchanged(objectKey(resource, "", namespace), found)];
  for (const kind of distinctKinds(table)) {
    if (!kind.namespaced) continue;
    const prefix = collectionPrefix(kind, namespace);
    const response = await store.range("k8s", { ...prefixRange(prefix), keysOnly: true, limit: 2 });
    const others = response.kvs.filter((kv) => decodeKey(kv.key) !== key);
    if (others.length > 0) return undefined;
    compare.push(nothingNewer(prefix, response.revision));
  }
  return {
    compare,
    operations: [{ type: "delete", keyspace: "k8s", key: encodeKey(found.key) }],
  };
}
