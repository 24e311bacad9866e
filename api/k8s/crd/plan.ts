/** Planning writes of CustomResourceDefinitions: names, stored versions, and what deletion takes along. */
import type { Compare, Operation } from "../../../store/mod.ts";
import { type FieldError, forbiddenField, invalidObject, invalidValue } from "../field_errors.ts";
import { collectionPrefix, encodeKey } from "../keys.ts";
import { encodeServed, encodeStored, type KubernetesObject, StoredObject } from "../objects.ts";
import { isRecord } from "../plain.ts";
import { markForDeletion, nothingNewer, type PlanContext, unchanged } from "../plan.ts";
import { kubernetesTime } from "../prepare.ts";
import { listObjects, readObject } from "../read.ts";
import type { Planned } from "../request.ts";
import type { ResourceDefinition } from "../resources.ts";
import { REVIEWS } from "../reviews.ts";
import { decodeDefinition, type DefinedNames, type Definition } from "./definition.ts";
import { definitionResource, definitionStatus } from "./kinds.ts";
import { type DefinitionOutline, outlineOf } from "./outline.ts";
import { type Condition, nameConflict, namingConditions } from "./names.ts";

/** Keeps a definition until its objects are gone. */
const CLEANUP = "customresourcecleanup.apiextensions.k8s.io";

/** What a write of a definition comes to. */
export interface FinishedDefinition {
  readonly object: KubernetesObject;
  readonly compare: readonly Compare[];
}

/**
 * Checks a definition that is about to be written and says which names it gets.
 *
 * @param before the definition as it is; undefined for a new one.
 * @throws {StatusError} Invalid naming every field.
 */
export async function finishDefinition(
  context: PlanContext,
  next: KubernetesObject,
  before: KubernetesObject | undefined,
): Promise<FinishedDefinition> {
  const { resource, sources } = context;
  const errors: FieldError[] = [];
  const definition = decodeDefinition(next, errors);
  const own = [...context.fixed.all(), ...REVIEWS];
  if (definition.group !== "" && own.some(({ group }) => group === definition.group)) {
    errors.push(forbiddenField("spec.group", "this group is the server's own"));
  }
  const old = before === undefined ? undefined : definitionStatus(before);
  if (before !== undefined && old !== undefined) {
    checkUpdate(definition, outlineOf(before), old.conditions, errors);
  }
  const storedVersions = storedVersionsOf(definition, next, errors);
  if (errors.length > 0) throw invalidObject(resource, next.metadata.name, errors);

  const { items, revision } = await listObjects(context.store, resource, "", {});
  const others = acceptedBeside(items, definition.group, next.metadata.name);
  const conflict = nameConflict(definition.names, others);
  const now = kubernetesTime(sources.clock());
  const conditions = namingConditions(conflict, old?.conditions ?? [], now);
  const accepted = conflict === undefined ? definition.names : old?.acceptedNames;
  const metadata = { ...next.metadata };
  if (before === undefined) metadata.finalizers = [...metadata.finalizers ?? [], CLEANUP];
  return {
    object: {
      ...next,
      metadata,
      status: {
        conditions,
        acceptedNames: accepted === undefined ? { kind: "", plural: "" } : written(accepted),
        storedVersions,
      },
    },
    compare: [nothingNewer(collectionPrefix(resource, ""), revision)],
  };
}

function written(names: DefinedNames): Record<string, unknown> {
  const { plural, singular, kind, listKind, shortNames, categories } = names;
  return {
    kind,
    listKind,
    plural,
    singular,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
}

function acceptedBeside(
  items: readonly StoredObject[],
  group: string,
  name: string,
): DefinedNames[] {
  return items.flatMap((item) => {
    const object = item.parse();
    const isOther = object.metadata.name !== name && object.metadata.name.endsWith(`.${group}`);
    const spec = isOther && isRecord(object["spec"]) ? object["spec"] : {};
    return spec["group"] === group ? [definitionStatus(object).acceptedNames] : [];
  });
}

function checkUpdate(
  next: Definition,
  before: DefinitionOutline,
  conditions: readonly Condition[],
  errors: FieldError[],
): void {
  const immutable = (field: string, now: string, then: string) => {
    if (now !== then) errors.push(invalidValue(field, now, "field is immutable"));
  };
  immutable("spec.group", next.group, before.group);
  immutable("spec.names.plural", next.names.plural, before.names.plural);
  if (conditions.some(({ type, status }) => type === "Established" && status === "True")) {
    immutable("spec.scope", next.scope, before.scope);
    immutable("spec.names.kind", next.names.kind, before.names.kind);
  }
}

/** Every version that objects may lie in the store as; such a version must stay. */
function storedVersionsOf(
  definition: Definition,
  next: KubernetesObject,
  errors: FieldError[],
): readonly string[] {
  const { storedVersions } = definitionStatus(next);
  const versions = new Set(definition.versions.map(({ name }) => name));
  storedVersions.forEach((name, i) => {
    if (versions.has(name)) return;
    errors.push(invalidValue(
      `status.storedVersions[${i}]`,
      name,
      `missing from spec.versions; ${name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${name} and removes ${name} from status.storedVersions`,
    ));
  });
  const storage = definition.versions.find((version) => version.storage)?.name;
  if (storage === undefined || storedVersions.includes(storage)) return storedVersions;
  return [...storedVersions, storage];
}

/** The kind's objects as they lie in the store, in no version in particular. */
function storedAs(object: KubernetesObject): ResourceDefinition {
  const { group, names, scope, storageVersion } = outlineOf(object);
  return {
    group,
    version: storageVersion,
    kind: names.kind,
    plural: names.plural,
    singular: names.singular,
    shortNames: [],
    categories: [],
    namespaced: scope === "Namespaced",
    nameRule: "subdomain",
    hasStatus: false,
  };
}

/**
 * A definition goes with all its objects, in one transaction. Objects with finalizers are marked, and
 * the definition waits for them as Terminating.
 */
export async function planDefinitionDelete(
  context: PlanContext,
  current: StoredObject,
): Promise<Planned> {
  const { store, resource, request } = context;
  const object = current.parse();
  delete object.metadata.resourceVersion;
  const kind = storedAs(object);
  const { items, revision } = await listObjects(store, kind, "", {});
  const compare: Compare[] = [
    unchanged(current.key, current),
    nothingNewer(collectionPrefix(kind, ""), revision),
  ];
  const operations: Operation[] = [];
  let waits = (object.metadata.finalizers ?? []).some((name) => name !== CLEANUP);
  for (const item of items) {
    const content = item.parse();
    delete content.metadata.resourceVersion;
    if ((content.metadata.finalizers ?? []).length === 0) {
      operations.push({ type: "delete", keyspace: "k8s", key: encodeKey(item.key) });
      continue;
    }
    waits = true;
    const marked = markForDeletion(content, context);
    if (marked === undefined) continue;
    // Whatever version it was stored as, it stays.
    const as = { ...kind, version: content.apiVersion.slice(content.apiVersion.indexOf("/") + 1) };
    const value = encodeStored(marked, as);
    operations.push({ type: "put", keyspace: "k8s", key: encodeKey(item.key), value });
  }
  const terminating = terminatingDefinition(object, context, waits);
  const encoded = encodeServed(terminating, resource);
  const key = encodeKey(current.key);
  operations.push(
    waits
      ? { type: "put", keyspace: "k8s", key, value: encoded }
      : { type: "delete", keyspace: "k8s", key },
  );
  if (!waits) {
    const freed = await freeNames(context, terminating);
    compare.push(...freed.compare);
    operations.push(...freed.operations);
  }
  const outcome = (at: number) => ({
    kind: "object" as const,
    code: 200 as const,
    object: new StoredObject(resource, current.key, at, encoded),
  });
  if (request.options?.dryRun === true) {
    return { kind: "done", outcome: outcome(store.revision("k8s")) };
  }
  return {
    kind: "write",
    compare,
    operations,
    outcome: (at) => ({ ...outcome(at), change: { status: "deleted", key: current.key } }),
  };
}

function terminatingDefinition(
  object: KubernetesObject,
  context: PlanContext,
  waits: boolean,
): KubernetesObject {
  const marked = markForDeletion(object, context) ?? object;
  const status = isRecord(object["status"]) ? object["status"] : {};
  const { conditions } = definitionStatus(object);
  const lastTransitionTime = kubernetesTime(context.sources.clock());
  const condition: Condition = waits
    ? {
      type: "Terminating",
      status: "True",
      lastTransitionTime,
      reason: "InstanceDeletionInProgress",
      message: "CustomResource deletion is in progress",
    }
    : {
      type: "Terminating",
      status: "False",
      lastTransitionTime,
      reason: "InstanceDeletionCompleted",
      message: "removed all instances",
    };
  return {
    ...marked,
    status: {
      ...status,
      conditions: [...conditions.filter(({ type }) => type !== "Terminating"), condition],
    },
  };
}

/** Definitions of the group that waited for a name of this one may have it now. */
async function freeNames(
  context: PlanContext,
  gone: KubernetesObject,
): Promise<{ compare: Compare[]; operations: Operation[] }> {
  const resource = definitionResource(context.fixed);
  const { group } = outlineOf(gone);
  const { items, revision } = await listObjects(context.store, resource, "", {});
  const rest = items.filter((item) => item.parse().metadata.name !== gone.metadata.name);
  const now = kubernetesTime(context.sources.clock());
  const taken = acceptedBeside(rest, group, "");
  const operations: Operation[] = [];
  for (const item of rest) {
    const object = item.parse();
    delete object.metadata.resourceVersion;
    const { conditions } = definitionStatus(object);
    const waiting = conditions.some(({ type, status }) =>
      type === "NamesAccepted" && status === "False"
    );
    const definition = outlineOf(object);
    if (!waiting || definition.group !== group) continue;
    const others = taken.filter(({ plural }) => plural !== definition.names.plural);
    if (nameConflict(definition.names, others) !== undefined) continue;
    taken.push(definition.names);
    const status = isRecord(object["status"]) ? object["status"] : {};
    object["status"] = {
      ...status,
      acceptedNames: written(definition.names),
      conditions: namingConditions(undefined, conditions, now),
    };
    const value = encodeStored(object, resource);
    operations.push({ type: "put", keyspace: "k8s", key: encodeKey(item.key), value });
  }
  return {
    compare: operations.length === 0
      ? []
      // One of them may be the one that goes, which is guarded by itself.
      : [nothingNewer(collectionPrefix(resource, ""), revision)],
    operations,
  };
}

/** Where `key` is the last object of a kind that is going away: how the definition goes with it. */
export async function waitingDefinition(
  context: PlanContext,
  key: string,
): Promise<{ compare: Compare[]; operations: Operation[] } | undefined> {
  const { resource, store } = context;
  if (resource.custom?.terminating !== true) return undefined;
  const definitions = definitionResource(context.fixed);
  const name = `${resource.plural}.${resource.group}`;
  const found = await readObject(store, definitions, "", name);
  if (found === undefined) return undefined;
  const { items, revision } = await listObjects(store, resource, "", {});
  if (items.some((item) => item.key !== key)) return undefined;
  const compare = [
    unchanged(found.key, found),
    nothingNewer(collectionPrefix(resource, ""), revision),
  ];
  const object = found.parse();
  delete object.metadata.resourceVersion;
  const finalizers = (object.metadata.finalizers ?? []).filter((item) => item !== CLEANUP);
  const place = encodeKey(found.key);
  if (finalizers.length > 0) {
    const done = terminatingDefinition(object, context, false);
    const next = { ...done, metadata: { ...done.metadata, finalizers } };
    const value = encodeStored(next, definitions);
    return { compare, operations: [{ type: "put", keyspace: "k8s", key: place, value }] };
  }
  const freed = await freeNames(context, object);
  return {
    compare: [...compare, ...freed.compare],
    operations: [{ type: "delete", keyspace: "k8s", key: place }, ...freed.operations],
  };
}
