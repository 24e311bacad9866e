/** `metadata.managedFields`: who holds which fields of an object, and what a write makes of it. */
import * as v from "valibot";
import type { ManagedFieldsEntry, ObjectMeta } from "../objects.ts";
import {
  decodeFields,
  difference,
  EMPTY,
  encodeFields,
  type FieldSet,
  intersection,
  isEmpty,
  isSame,
  pathsOf,
  pathText,
  union,
  without,
} from "./field_set.ts";
import type { Comparison } from "./typed.ts";
import { StatusError } from "../status.ts";

/** One holder of fields. */
export interface Manager {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  /** "" for the object itself. */
  readonly subresource: string;
  readonly time: string;
  readonly fields: FieldSet;
}

/** Who writes: a Manager but for its fields and time. */
export type Writer = Omit<Manager, "fields" | "time">;

/** Beyond this many that wrote by update, the oldest become one. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT = "ancient-changes";

/** Set by the server, held by nobody. */
const SERVER_FIELDS: readonly (readonly string[])[] = [
  ["apiVersion"],
  ["kind"],
  ...[
    "name",
    "namespace",
    "uid",
    "selfLink",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
  ].map((name) => ["metadata", name]),
];

/** What a writer can hold of an object: not the server's own, nor what another path is for. */
export function holdable(fields: FieldSet, subresource: string, hasStatus: boolean): FieldSet {
  const kept = without(fields, SERVER_FIELDS);
  if (subresource === "status") {
    const status = kept.children.get("f:status");
    return { own: false, children: new Map(status === undefined ? [] : [["f:status", status]]) };
  }
  return hasStatus ? without(kept, [["status"]]) : kept;
}

const entrySchema = v.strictObject({
  manager: v.optional(v.pipe(v.string(), v.maxLength(128)), ""),
  operation: v.picklist(["Apply", "Update"]),
  apiVersion: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
  time: v.nullish(v.pipe(v.string(), v.maxLength(64)), ""),
  fieldsType: v.literal("FieldsV1"),
  fieldsV1: v.optional(v.record(v.string(), v.unknown()), {}),
  subresource: v.nullish(v.pipe(v.string(), v.maxLength(64)), ""),
});

/** @returns undefined where a client wrote what is none. */
export function decodeManagers(entries: readonly unknown[]): Manager[] | undefined {
  const out: Manager[] = [];
  for (const entry of entries) {
    const result = v.safeParse(entrySchema, entry, { abortEarly: true });
    if (!result.success) return undefined;
    const { manager, operation, apiVersion, time, fieldsV1, subresource } = result.output;
    const fields = decodeFields(fieldsV1);
    if (fields === undefined) return undefined;
    out.push({
      manager,
      operation,
      apiVersion,
      time: time ?? "",
      subresource: subresource ?? "",
      fields,
    });
  }
  return out;
}

/** The managers of a stored object; undefined where nobody was ever tracked. */
export function managersOf(metadata: ObjectMeta): Manager[] | undefined {
  const entries = metadata.managedFields ?? [];
  return entries.length === 0 ? undefined : decodeManagers(entries);
}

/** As stored: Apply before Update, then by time and name. Those without fields are left out. */
export function encodeManagers(managers: readonly Manager[]): ManagedFieldsEntry[] {
  return managers.filter(({ fields }) => !isEmpty(fields))
    .toSorted((a, b) =>
      compareText(a.operation, b.operation) || compareText(a.time, b.time) ||
      compareText(a.manager, b.manager) || compareText(a.subresource, b.subresource)
    )
    .map(({ manager, operation, apiVersion, time, fields, subresource }) => ({
      manager,
      operation,
      apiVersion,
      ...(time === "" ? {} : { time }),
      fieldsType: "FieldsV1",
      fieldsV1: encodeFields(fields),
      ...(subresource === "" ? {} : { subresource }),
    }));
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isWriter(manager: Manager, writer: Writer): boolean {
  return manager.manager === writer.manager && manager.operation === writer.operation &&
    manager.apiVersion === writer.apiVersion && manager.subresource === writer.subresource;
}

/** With another set; the time moves only where the set did. */
function withFields(manager: Manager, fields: FieldSet, now: string): Manager {
  return isSame(manager.fields, fields) ? manager : { ...manager, fields, time: now };
}

/** After an update: the writer holds what it changed, and nobody else does any more. */
export function afterUpdate(
  managers: readonly Manager[],
  writer: Writer,
  change: Comparison,
  hasStatus: boolean,
  now: string,
): Manager[] {
  const written = union(change.added, change.modified);
  const mine = holdable(written, writer.subresource, hasStatus);
  const others = managers.filter((manager) => !isWriter(manager, writer)).map((manager) => ({
    // Losing fields is not the holder's act: its time stays.
    ...manager,
    fields: difference(difference(manager.fields, change.removed), written),
  }));
  const old = managers.find((manager) => isWriter(manager, writer)) ??
    { ...writer, fields: EMPTY, time: now };
  const next = withFields(old, union(difference(old.fields, change.removed), mine), now);
  return bounded([...others, next]);
}

/** The oldest of too many become one, which holds what they held. */
function bounded(managers: readonly Manager[]): Manager[] {
  const held = managers.filter(({ fields }) => !isEmpty(fields));
  const updates = held.filter(({ operation }) => operation === "Update")
    .toSorted((a, b) => compareText(a.time, b.time));
  const excess = updates.length - MAX_UPDATE_MANAGERS;
  if (excess <= 0) return held;
  const old = updates.slice(0, excess + 1);
  const rest = held.filter((manager) => !old.includes(manager));
  const merged = old.reduce<Manager>(
    (sum, { fields, apiVersion, time }) => ({
      ...sum,
      apiVersion,
      time,
      fields: union(sum.fields, fields),
    }),
    {
      manager: ANCIENT,
      operation: "Update",
      apiVersion: "",
      subresource: "",
      time: "",
      fields: EMPTY,
    },
  );
  return [...rest, merged];
}

/** What others hold that an apply would change. */
export function conflictsOf(
  managers: readonly Manager[],
  writer: Writer,
  change: Comparison,
): { readonly manager: Manager; readonly fields: FieldSet }[] {
  const written = union(change.added, change.modified);
  return managers.filter((manager) => !isWriter(manager, writer)).flatMap((manager) => {
    const fields = intersection(manager.fields, written);
    return isEmpty(fields) ? [] : [{ manager, fields }];
  });
}

/** 409 with a cause for each field, as the API server words it. */
export function conflictError(
  conflicts: readonly { readonly manager: Manager; readonly fields: FieldSet }[],
): StatusError {
  const all = conflicts.flatMap(({ manager, fields }) =>
    pathsOf(fields).map((path) => ({ who: described(manager), field: pathText(path) }))
  );
  const [only] = all;
  let message: string;
  if (all.length === 1 && only !== undefined) {
    message = `Apply failed with 1 conflict: conflict with ${only.who}: ${only.field}`;
  } else {
    const byManager = Map.groupBy(all, ({ who }) => who);
    const lines = [...byManager.keys()].sort().flatMap((who) => [
      `conflicts with ${who}:`,
      ...(byManager.get(who) ?? []).map(({ field }) => `- ${field}`),
    ]);
    message = `Apply failed with ${all.length} conflicts: ${lines.join("\n")}`;
  }
  return new StatusError("Conflict", message, {
    details: {
      causes: all.map(({ who, field }) => ({
        reason: "FieldManagerConflict",
        message: `conflict with ${who}`,
        field,
      })),
    },
  });
}

function described({ manager, operation, apiVersion, subresource }: Manager): string {
  const name = JSON.stringify(manager) +
    (subresource === "" ? "" : ` with subresource ${JSON.stringify(subresource)}`);
  return operation === "Update" ? `${name} using ${apiVersion}` : name;
}

/** After an apply: the writer holds what its configuration says; others lose what was taken by force. */
export function afterApply(
  managers: readonly Manager[],
  writer: Writer,
  fields: FieldSet,
  taken: FieldSet,
  now: string,
): Manager[] {
  const others = managers.filter((manager) => !isWriter(manager, writer)).map((manager) => ({
    ...manager,
    fields: difference(manager.fields, taken),
  }));
  const old = managers.find((manager) => isWriter(manager, writer)) ??
    { ...writer, fields: EMPTY, time: now };
  return bounded([...others, withFields(old, fields, now)]);
}

/** What the writer applied before; empty for the first time. */
export function appliedBefore(managers: readonly Manager[], writer: Writer): FieldSet {
  return managers.find((manager) => isWriter(manager, writer))?.fields ?? EMPTY;
}
