/** Server-side apply, and the tracking of every other write: the object and who holds its fields. */
import { isRecord } from "../plain.ts";
import type { KubernetesObject, ManagedFieldsEntry } from "../objects.ts";
import type { PlanContext } from "../plan.ts";
import { kubernetesTime } from "../prepare.ts";
import { apiVersionOf } from "../resources.ts";
import { StatusError } from "../status.ts";
import { difference, EMPTY, isEmpty, union } from "./field_set.ts";
import { ownSinceLastApply, withLastApplied } from "./last_applied.ts";
import {
  afterApply,
  afterUpdate,
  appliedBefore,
  conflictError,
  conflictsOf,
  decodeManagers,
  encodeManagers,
  holdable,
  type Manager,
  managersOf,
  type Writer,
} from "./managed_fields.ts";
import { mergeSchemaOf } from "./merge_schema.ts";
import { compare, fieldsOf, listProblem, merge, removeFields } from "./typed.ts";

/** Holds what stood in an object before anybody was tracked. */
const BEFORE_FIRST_APPLY = "before-first-apply";

function writerOf(context: PlanContext, operation: Writer["operation"], manager: string): Writer {
  const { resource, request } = context;
  return {
    manager,
    operation,
    apiVersion: apiVersionOf(resource),
    subresource: request.subresource ?? "",
  };
}

/**
 * `next` with the holders of its fields after a write that is no apply. A request without a manager
 * (one of our own) changes no holder, and an object that was never tracked stays so.
 *
 * @param given `managedFields` as the client sent them: it may take holders away.
 */
export function trackWrite(
  context: PlanContext,
  before: KubernetesObject | undefined,
  next: KubernetesObject,
  given: readonly unknown[],
): KubernetesObject {
  const { resource, request, schemas, sources } = context;
  const { managedFields: old, ...live } = before?.metadata ?? {};
  const [first] = given;
  const isReset = given.length === 1 && isRecord(first) && Object.keys(first).length === 0;
  if (isReset) return withManagers(next, []);
  const sent = given.length === 0 ? undefined : decodeManagers(given);
  const managers = sent ?? (before === undefined ? [] : managersOf(before.metadata));
  const manager = request.options?.fieldManager;
  if (managers === undefined || manager === undefined) return withManagers(next, old ?? []);
  const schema = mergeSchemaOf(resource, schemas);
  const plain = withManagers(next, []);
  const change = compare({ ...before, metadata: live }, plain, schema);
  const now = kubernetesTime(sources.clock());
  const writer = writerOf(context, "Update", manager);
  return withManagers(
    next,
    encodeManagers(afterUpdate(managers, writer, change, resource.hasStatus, now)),
  );
}

export function withManagers(
  object: KubernetesObject,
  managedFields: readonly ManagedFieldsEntry[],
): KubernetesObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return {
    ...object,
    metadata: managedFields.length === 0
      ? metadata
      : { ...metadata, managedFields: [...managedFields] },
  };
}

export interface Applied {
  /** The object as it is to be written. */
  readonly body: unknown;
  readonly managedFields: readonly ManagedFieldsEntry[];
}

/**
 * Merges an applied configuration into the object.
 *
 * @param config checked against its kind, without defaults.
 * @throws {StatusError} Conflict naming every field that somebody else holds; BadRequest for lists
 * whose items cannot be told apart.
 */
export function applyConfiguration(
  context: PlanContext,
  live: KubernetesObject | undefined,
  config: Readonly<Record<string, unknown>>,
  options: { readonly manager: string; readonly force: boolean },
): Applied {
  const { resource, request, schemas, sources } = context;
  const schema = mergeSchemaOf(resource, schemas);
  const problem = listProblem(config, schema);
  if (problem !== undefined) throw typedPatchError(request, resource, problem);
  const now = kubernetesTime(sources.clock());
  const writer = writerOf(context, "Apply", options.manager);
  const subresource = request.subresource ?? "";
  const wanted = holdable(fieldsOf(config, schema), subresource, resource.hasStatus);
  if (live === undefined) {
    const managers = afterApply([], writer, wanted, EMPTY, now);
    return { body: config, managedFields: encodeManagers(managers) };
  }
  const managers = managersOf(live.metadata) ?? untracked(context, live, now);
  const merged = merge(live, config, schema);
  const change = compare(live, merged, schema);
  const conflicts = conflictsOf(managers, writer, change);
  const own = ownSinceLastApply(options.manager, live, schema);
  const foreign = conflicts.map(({ manager, fields }) => ({
    manager,
    fields: difference(fields, own),
  })).filter(({ fields }) => !isEmpty(fields));
  if (foreign.length > 0 && !options.force) throw conflictError(foreign);
  const taken = conflicts.reduce((sum, { fields }) => union(sum, fields), EMPTY);
  const next = afterApply(managers, writer, wanted, taken, now);
  const held = next.reduce((sum, { fields }) => union(sum, fields), EMPTY);
  const gone = difference(appliedBefore(managers, writer), wanted);
  return {
    body: withLastApplied(
      options.manager,
      live,
      removeFields(merged, schema, gone, held),
      config,
    ),
    managedFields: encodeManagers(next),
  };
}

/** 400 for a configuration that its schema does not take (the API server says 500, and the same). */
export function typedPatchError(
  request: { readonly namespace: string; readonly name: string },
  kind: { readonly group: string; readonly version: string; readonly kind: string },
  problem: string,
): StatusError {
  const place = request.namespace === "" ? request.name : `${request.namespace}/${request.name}`;
  return new StatusError(
    "BadRequest",
    `failed to create typed patch object (${place}; ${
      apiVersionOf(kind)
    }, Kind=${kind.kind}): ${problem}`,
  );
}

function untracked(context: PlanContext, live: KubernetesObject, now: string): Manager[] {
  const { resource, schemas } = context;
  const fields = fieldsOf(live, mergeSchemaOf(resource, schemas));
  return [{
    manager: BEFORE_FIRST_APPLY,
    operation: "Update",
    apiVersion: live.apiVersion,
    subresource: "",
    time: now,
    fields: holdable(fields, "", false),
  }];
}
