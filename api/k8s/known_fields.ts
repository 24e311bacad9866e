/** A submitted object without the fields that its kind does not have, and what the client hears of them. */
import { defaultedSpec } from "./crd/definition.ts";
import { isDefinition } from "./crd/kinds.ts";
import { applyDefaults, prune } from "./crd/prune.ts";
import { decodeSubmitted, type SubmittedObject } from "./objects.ts";
import { isRecord } from "./plain.ts";
import type { PlanContext } from "./plan.ts";
import type { ApplyPatch, K8sRequest } from "./request.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";
import {
  type FieldPath,
  strictError,
  strictPatchError,
  strictProblems,
  warningsOf,
  without,
  yamlProblem,
} from "./strict.ts";
import { unknownFields } from "./validate.ts";

export interface DecodedFields {
  /** Without what its kind does not have. */
  readonly object: SubmittedObject;
  /** What was taken away. */
  readonly unknown: readonly FieldPath[];
}

/** @throws {StatusError} BadRequest, Invalid, naming the field. */
export function decodeFields(
  { resource, schemas }: PlanContext,
  body: unknown,
  withDefaults = true,
): DecodedFields {
  const submitted = decodeSubmitted(body, resource);
  const { apiVersion: _, kind: __, ...fields } = isRecord(body) ? body : {};
  const { custom } = resource;
  if (custom === undefined) {
    const unknown = unknownFields(fields, schemas.message(resource.kind), schemas, resource);
    const object: SubmittedObject = without(submitted, unknown);
    return {
      unknown,
      object: isDefinition(resource) && withDefaults
        ? { ...object, spec: defaultedSpec(object["spec"]) }
        : object,
    };
  }
  const metadata = isRecord(fields["metadata"]) ? fields["metadata"] : {};
  const ofMetadata = unknownFields(metadata, schemas.message("ObjectMeta"), schemas, resource, [
    "metadata",
  ]);
  const object = structuredClone(submitted);
  const unknown = [...ofMetadata, ...prune(object, custom.schema, true)];
  if (withDefaults) applyDefaults(object, custom.schema);
  return { object, unknown };
}

/**
 * Tells the client what was taken away.
 *
 * @param unknown fields that the kind does not have
 * @param patched what a patch made, and what is to be said of the patch itself; undefined: the body is
 * the object itself
 * @throws {StatusError} BadRequest, for patches Invalid, where `fieldValidation` is Strict.
 */
export function reportFields(
  request: K8sRequest,
  kind: ReportedKind,
  unknown: readonly FieldPath[],
  patched?: { readonly object: unknown; readonly problems: readonly string[] },
): void {
  const validation = request.options?.fieldValidation ?? "Ignore";
  if (validation === "Ignore") return;
  const isTyped = kind.custom === undefined;
  const problems = patched === undefined
    ? strictProblems(unknown, request.duplicates, isTyped)
    : [...patched.problems, ...strictProblems(unknown, undefined, isTyped)];
  if (problems.length > 0 && validation === "Strict") {
    throw patched === undefined
      ? strictError(kind, problems)
      : strictPatchError(patched.object, problems);
  }
  for (const warning of problems.flatMap(warningsOf)) request.warn?.(warning);
}

/** As much of a kind as a report names. */
export type ReportedKind = Pick<ResourceDefinition, "kind" | "version" | "custom">;

/** What an apply says of fields that stand twice. @throws {StatusError} BadRequest */
export function reportApplied(request: K8sRequest, { duplicates }: ApplyPatch): void {
  const validation = request.options?.fieldValidation ?? "Ignore";
  if (duplicates === undefined || duplicates.fields.length === 0 || validation === "Ignore") return;
  const problem = yamlProblem(duplicates);
  if (validation === "Strict") {
    const why = `error strict decoding YAML: error converting YAML to JSON: ${problem}`;
    throw new StatusError("BadRequest", why);
  }
  for (const warning of warningsOf(problem)) request.warn?.(warning);
}
