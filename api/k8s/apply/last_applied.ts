/**
 * The way from `kubectl apply` to `kubectl apply --server-side`: what the annotation of the former says
 * is kubectl's own, so taking it over is no conflict, and the annotation goes on saying what was applied.
 */
import type { KubernetesObject } from "../objects.ts";
import { isRecord } from "../plain.ts";
import { difference, EMPTY, type FieldSet, union } from "./field_set.ts";
import type { MergeSchema } from "./merge_schema.ts";
import { compare, fieldsOf } from "./typed.ts";

const ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration";
/** The manager for which this holds. */
const KUBECTL = "kubectl";
const MAX_ANNOTATION_LENGTH = 256 * 1024;

/** Fields that kubectl applied from its own side, and that nobody changed since. */
export function ownSinceLastApply(
  manager: string,
  live: KubernetesObject,
  schema: MergeSchema,
): FieldSet {
  const text = live.metadata.annotations?.[ANNOTATION];
  if (manager !== KUBECTL || text === undefined) return EMPTY;
  let applied: unknown;
  try {
    applied = JSON.parse(text);
  } catch {
    return EMPTY; // anybody may write annotations; then it says nothing
  }
  if (!isRecord(applied)) return EMPTY;
  const { added, removed, modified } = compare(applied, live, schema);
  return difference(fieldsOf(applied, schema), union(union(added, removed), modified));
}

/** The configuration with the annotation, where the object has one. */
export function withLastApplied(
  manager: string,
  live: KubernetesObject,
  merged: unknown,
  config: Readonly<Record<string, unknown>>,
): unknown {
  if (manager !== KUBECTL || live.metadata.annotations?.[ANNOTATION] === undefined) return merged;
  if (!isRecord(merged) || !isRecord(merged["metadata"])) return merged;
  const { metadata } = merged;
  const annotations = isRecord(metadata["annotations"]) ? { ...metadata["annotations"] } : {};
  const text = `${JSON.stringify(config)}\n`;
  if (text.length > MAX_ANNOTATION_LENGTH) delete annotations[ANNOTATION];
  else annotations[ANNOTATION] = text;
  return { ...merged, metadata: { ...metadata, annotations } };
}
