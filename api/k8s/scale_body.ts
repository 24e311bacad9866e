/** A Scale (autoscaling/v1) as clients send it. */
import * as v from "valibot";
import { conflict, STALE } from "./errors.ts";
import { invalidObject, invalidValue } from "./field_errors.ts";
import type { KubernetesObject } from "./objects.ts";
import { isRecord } from "./plain.ts";
import type { PlanContext } from "./plan.ts";
import { StatusError } from "./status.ts";
import { cannotBeHandled, type FieldPath } from "./strict.ts";
import { unknownFields } from "./validate.ts";

const scaleBody = v.looseObject({
  apiVersion: v.literal("autoscaling/v1"),
  kind: v.literal("Scale"),
  metadata: v.nullish(
    v.looseObject({
      name: v.nullish(v.string(), ""),
      resourceVersion: v.nullish(v.string(), ""),
      uid: v.nullish(v.string(), ""),
      managedFields: v.nullish(v.array(v.unknown()), []),
    }),
    {},
  ),
  spec: v.nullish(v.looseObject({ replicas: v.nullish(v.number()) }), {}),
});
export type ScaleBody = v.InferOutput<typeof scaleBody>;

export const SCALE_KIND = { group: "autoscaling", version: "v1", kind: "Scale" } as const;

/** @throws {StatusError} BadRequest naming the field */
export function decodeScale(
  { schemas }: PlanContext,
  document: unknown,
): { readonly scale: ScaleBody; readonly unknown: readonly FieldPath[] } {
  // The path says what it is, where the document does not.
  const typed = isRecord(document) ? { ...document, ...missingType(document) } : document;
  const result = v.safeParse(scaleBody, typed, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const why = `field "${v.getDotPath(issue) ?? ""}": expected ${
      issue.expected ?? "another value"
    }`;
    throw new StatusError("BadRequest", cannotBeHandled(SCALE_KIND, why));
  }
  const { apiVersion: _, kind: __, ...fields } = isRecord(document) ? document : {};
  const unknown = unknownFields(fields, schemas.message("Scale"), schemas, SCALE_KIND);
  return { scale: result.output, unknown };
}

function missingType(document: Readonly<Record<string, unknown>>): Record<string, string> {
  return {
    ...(document["apiVersion"] === undefined ? { apiVersion: "autoscaling/v1" } : {}),
    ...(document["kind"] === undefined ? { kind: "Scale" } : {}),
  };
}

/** @throws {StatusError} Conflict */
export function checkPreconditions(
  { resource, request }: PlanContext,
  { metadata }: KubernetesObject,
  scale: ScaleBody,
): void {
  const { resourceVersion = "", uid = "" } = scale.metadata ?? {};
  if (resourceVersion !== "" && resourceVersion !== metadata.resourceVersion) {
    throw conflict(resource, request.name, STALE);
  }
  if (uid !== "" && uid !== metadata.uid) {
    throw conflict(
      resource,
      request.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${metadata.uid}`,
    );
  }
}

/** @throws {StatusError} Invalid */
export function checkedReplicas(name: string, replicas: number): number {
  const problem = !Number.isInteger(replicas) || replicas > 2 ** 31 - 1
    ? "must be a 32-bit integer"
    : replicas < 0
    ? "must be greater than or equal to 0"
    : undefined;
  if (problem === undefined) return replicas;
  throw invalidObject(SCALE_KIND, name, [invalidValue("spec.replicas", replicas, problem)]);
}
