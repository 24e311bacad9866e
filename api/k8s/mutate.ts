/** Planning creation, replacement and patches of one object. */
import type { Compare } from "../../store/mod.ts";
import {
  type Applied,
  applyConfiguration,
  trackWrite,
  typedPatchError,
  withManagers,
} from "./apply/apply.ts";
import { undeclaredProblem } from "./apply/declared.ts";
import { mergeSchemaOf } from "./apply/merge_schema.ts";
import { isDefinition } from "./crd/kinds.ts";
import { finishDefinition } from "./crd/plan.ts";
import { objectErrors } from "./crd/object_errors.ts";
import { invalidObject } from "./field_errors.ts";
import { alreadyExists, conflict, notFound, STALE } from "./errors.ts";
import { encodeKey, objectKey } from "./keys.ts";
import { kindErrors } from "./kind_rules.ts";
import { type KubernetesObject, type StoredObject, type SubmittedObject } from "./objects.ts";
import { type PlanContext, requireStorable, unchanged, writePlan } from "./plan.ts";
import { chooseName, equalJson, prepareCreate, prepareUpdate } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { ApplyPatch, K8sRequest, Planned } from "./request.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";
import { decodeFields, reportApplied, reportFields } from "./known_fields.ts";
import { planRemoval } from "./remove.ts";

/** @throws {StatusError} NotFound for the namespace, AlreadyExists, Forbidden while it terminates. */
export async function planCreate(
  context: PlanContext,
  managed?: Applied["managedFields"],
): Promise<Planned> {
  const { store, resource, request, sources } = context;
  const { object: submitted, unknown } = decodeFields(context, request.body);
  reportFields(request, resource, unknown);
  const name = chooseName(submitted, resource, sources);
  if (request.name !== "" && request.name !== name) throw nameMismatch(name, request.name);
  const namespace = placeIn(resource, request, submitted.metadata.namespace ?? "");
  const key = objectKey(resource, namespace, name);
  const [existing, guard] = await Promise.all([
    store.range("k8s", { key: encodeKey(key), keysOnly: true }),
    resource.namespaced ? context.namespaces.of(context.table, namespace) : undefined,
  ]);
  if (existing.kvs.length > 0) throw alreadyExists(resource, name);
  if (resource.custom?.terminating === true) {
    throw new StatusError(
      "MethodNotAllowed",
      "create not allowed while custom resource definition is terminating",
    );
  }
  const prepared = prepareCreate(submitted, resource, namespace, name, sources);
  const { object, compare } = await finish(context, prepared, undefined);
  const tracked = managed === undefined
    ? trackWrite(context, undefined, object, submitted.metadata.managedFields ?? [])
    : withManagers(object, managed);
  return writePlan(context, key, tracked, 201, "created", [
    unchanged(key, undefined),
    ...(guard === undefined ? [] : [guard]),
    ...compare,
  ]);
}

/** @throws {StatusError} NotFound, Conflict, Invalid, BadRequest */
export async function planUpdate(context: PlanContext): Promise<Planned> {
  const { store, resource, request } = context;
  const current = await readObject(store, resource, request.namespace, request.name);
  if (current === undefined) throw notFound(resource, request.name);
  return await planReplacement(context, current, request.body);
}

/** @throws {StatusError} as planUpdate, and what the patch itself refuses. */
export async function planPatch(context: PlanContext): Promise<Planned> {
  const { store, resource, request } = context;
  const { patch } = request;
  if (patch === undefined) throw new StatusError("BadRequest", "a patch is missing");
  const current = await readObject(store, resource, request.namespace, request.name);
  if (patch.kind === "apply") return await planApply(context, current, patch);
  if (current === undefined) throw notFound(resource, request.name);
  const before = current.parse();
  const patched = patch.apply(before, resource);
  return await planReplacement(context, current, patched, { before, problems: patch.problems });
}

/** Merges what is applied, or creates it. @throws {StatusError} Conflict, and as the others. */
async function planApply(
  context: PlanContext,
  current: StoredObject | undefined,
  patch: ApplyPatch,
): Promise<Planned> {
  const { resource, request, schemas } = context;
  requireStorable(patch.config);
  const { object: config, unknown } = decodeFields(context, patch.config, false);
  if ((config.metadata.managedFields ?? []).length > 0) {
    throw new StatusError("BadRequest", "metadata.managedFields must be nil");
  }
  if (current === undefined) {
    if (request.subresource !== undefined) throw notFound(resource, request.name);
    await context.require("create");
  }
  const undeclared = undeclaredProblem(unknown, patch.config, mergeSchemaOf(resource, schemas));
  if (undeclared !== undefined) throw typedPatchError(request, resource, undeclared);
  const before = current?.parse();
  const applied = applyConfiguration(context, before, plainObject(config), patch);
  reportApplied(request, patch);
  // What was applied has been checked; what others wrote may hold fields that are not known.
  const options = { ...request.options, fieldValidation: "Ignore" as const };
  const next = { ...context, request: { ...request, options, body: applied.body } };
  return current === undefined
    ? await planCreate(next, applied.managedFields)
    : await planReplacement(next, current, applied.body, {
      ...(before === undefined ? {} : { before }),
      managed: applied.managedFields,
    });
}

/** Without what decoding fills in. */
function plainObject(config: SubmittedObject): Readonly<Record<string, unknown>> {
  const { managedFields: _, ...metadata } = config.metadata;
  return { ...config, metadata };
}

interface Replacing {
  /** What `current` says, parsed. The body may share what it did not change: it is quick to compare. */
  readonly before?: KubernetesObject;
  /** The holders of its fields after an apply. */
  readonly managed?: Applied["managedFields"];
  /** What is to be said of the patch itself. */
  readonly problems?: readonly string[];
}

async function planReplacement(
  context: PlanContext,
  current: StoredObject,
  body: unknown,
  { before = current.parse(), managed, problems }: Replacing = {},
): Promise<Planned> {
  const { resource, request } = context;
  const { name, namespace } = request;
  const { object: submitted, unknown } = decodeFields(context, body);
  reportFields(
    request,
    resource,
    unknown,
    problems === undefined ? undefined : { object: body, problems },
  );
  const given = submitted.metadata;
  const named = given.name ?? "";
  if (named === "") {
    throw new StatusError(
      "BadRequest",
      `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  }
  if (named !== name) throw nameMismatch(named, name);
  placeIn(resource, request, given.namespace ?? "");
  const expected = given.resourceVersion ?? "";
  if (expected !== "" && expected !== String(current.revision)) {
    throw conflict(resource, name, STALE);
  }
  if (typeof given.uid === "string" && given.uid !== "" && given.uid !== before.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${given.uid}, UID in object meta: ${before.metadata.uid}`,
    );
  }
  const subresource = request.subresource === "status" ? "status" : undefined;
  const prepared = prepareUpdate(submitted, before, resource, subresource);
  delete prepared.metadata.resourceVersion;
  delete before.metadata.resourceVersion;
  const { object, compare } = await finish(context, prepared, before);
  const next = managed === undefined
    ? trackWrite(context, before, object, given.managedFields ?? [])
    : withManagers(object, managed);
  const key = objectKey(resource, namespace, name);
  if (
    next.metadata.deletionTimestamp !== undefined && (next.metadata.finalizers ?? []).length === 0
  ) {
    return await planRemoval(context, current, next);
  }
  if (equalJson(next, before)) {
    return { kind: "done", outcome: { kind: "object", code: 200, object: current } };
  }
  return writePlan(context, key, next, 200, "updated", [unchanged(key, current), ...compare]);
}

/** What is left once the object stands as it would be stored: its schema, its kind's own rules. */
async function finish(
  context: PlanContext,
  object: KubernetesObject,
  before: KubernetesObject | undefined,
): Promise<{ object: KubernetesObject; compare: readonly Compare[] }> {
  const { resource } = context;
  if (object.metadata.deletionTimestamp === undefined) requireStorable(object);
  if (isDefinition(resource)) return await finishDefinition(context, object, before);
  if (resource.custom !== undefined) {
    const errors = objectErrors(object, before, resource.custom);
    if (errors.length > 0) throw invalidObject(resource, object.metadata.name, errors);
  } else if (context.request.subresource === undefined) {
    const errors = kindErrors(object, before, resource);
    if (errors.length > 0) throw invalidObject(resource, object.metadata.name, errors);
  }
  return { object, compare: [] };
}

function nameMismatch(object: string, path: string): StatusError {
  return new StatusError(
    "BadRequest",
    `the name of the object (${object}) does not match the name on the URL (${path})`,
  );
}

/** The namespace of the request, which the object may repeat but not contradict. */
function placeIn(resource: ResourceDefinition, request: K8sRequest, given: string): string {
  if (!resource.namespaced) {
    if (given !== "") {
      throw new StatusError(
        "BadRequest",
        `${resource.kind} is not namespaced, but metadata.namespace is set`,
      );
    }
    return "";
  }
  if (request.namespace === "") {
    throw new StatusError("BadRequest", "an empty namespace may not be set during creation");
  }
  if (given !== "" && given !== request.namespace) {
    throw new StatusError(
      "BadRequest",
      `the namespace of the provided object does not match the namespace sent on the request`,
    );
  }
  return request.namespace;
}
