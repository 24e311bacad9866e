/** What workloads and the pods they are made of have to say, after Kubernetes' validation of apps/v1 and core/v1. */
import { duplicate, type FieldError, forbiddenField, invalidValue } from "./field_errors.ts";
import { at } from "./json_path.ts";
import type { KubernetesObject } from "./objects.ts";
import { equalJson, isRecord } from "./plain.ts";

type Json = Readonly<Record<string, unknown>>;

const WORKLOADS: ReadonlySet<string> = new Set([
  "/ReplicationController",
  "apps/DaemonSet",
  "apps/Deployment",
  "apps/ReplicaSet",
  "apps/StatefulSet",
]);

/** Where the pod's spec stands, by kind. */
const POD_SPECS: Readonly<Record<string, readonly string[]>> = {
  "/Pod": ["spec"],
  "/PodTemplate": ["template", "spec"],
  "batch/Job": ["spec", "template", "spec"],
  "batch/CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
  ...Object.fromEntries([...WORKLOADS].map((kind) => [kind, ["spec", "template", "spec"]])),
};

const STATEFUL_SET =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

export function isWorkload(group: string, kind: string): boolean {
  return WORKLOADS.has(`${group}/${kind}`);
}

/** Replicas, and the selector with the template that it has to select. */
export function workloadErrors(
  object: KubernetesObject,
  before: KubernetesObject | undefined,
  kind: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const replicas = at(object, ["spec", "replicas"]);
  if (typeof replicas === "number" && replicas < 0) {
    errors.push(
      invalidValue("spec.replicas", replicas, "must be greater than or equal to 0"),
    );
  }
  const selector = at(object, ["spec", "selector"]) ?? undefined;
  // A replication controller's is a map of labels, and may change.
  const isPlain = kind === "ReplicationController";
  if (isRecord(selector) && isRecord(at(object, ["spec", "template"]))) {
    const labels = at(object, ["spec", "template", "metadata", "labels"]);
    const matches = isPlain
      ? matchesAll(selector, isRecord(labels) ? labels : {})
      : selects(selector, isRecord(labels) ? labels : {});
    if (!matches) {
      errors.push(invalidValue(
        "spec.template.metadata.labels",
        labels,
        "`selector` does not match template `labels`",
      ));
    }
  }
  if (before === undefined || isPlain) return errors;
  const old = at(before, ["spec", "selector"]) ?? undefined;
  // Nothing was selected before: there is nothing that a selector would leave behind.
  if (old === undefined || equalJson(selector, old)) return errors;
  errors.push(
    kind === "StatefulSet"
      ? forbiddenField("spec", STATEFUL_SET)
      : invalidValue("spec.selector", selector, "field is immutable"),
  );
  return errors;
}

/** A LabelSelector (meta/v1); types were checked before. */
function selects(selector: Json, labels: Json): boolean {
  const { matchLabels, matchExpressions } = selector;
  if (isRecord(matchLabels) && !matchesAll(matchLabels, labels)) return false;
  const expressions = Array.isArray(matchExpressions) ? matchExpressions : [];
  return expressions.every((expression: unknown) => {
    if (!isRecord(expression) || typeof expression["key"] !== "string") return false;
    const { key, operator } = expression;
    const values: readonly unknown[] = Array.isArray(expression["values"])
      ? expression["values"]
      : [];
    const has = Object.hasOwn(labels, key);
    switch (operator) {
      case "In":
        return has && values.includes(labels[key]);
      case "NotIn":
        return !has || !values.includes(labels[key]);
      case "Exists":
        return has;
      case "DoesNotExist":
        return !has;
    }
    return false;
  });
}

function matchesAll(wanted: Json, labels: Json): boolean {
  return Object.entries(wanted).every(([key, value]) =>
    Object.hasOwn(labels, key) && labels[key] === value
  );
}

/** Containers of one pod that have one name. */
export function podErrors(object: KubernetesObject, group: string, kind: string): FieldError[] {
  const path = POD_SPECS[`${group}/${kind}`];
  const spec = path === undefined ? undefined : at(object, path);
  if (path === undefined || !isRecord(spec)) return [];
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const field of ["containers", "initContainers", "ephemeralContainers"]) {
    const containers = spec[field];
    for (const [i, container] of Array.isArray(containers) ? containers.entries() : []) {
      const name: unknown = isRecord(container) ? container["name"] : undefined;
      if (typeof name !== "string" || name === "") continue;
      if (names.has(name)) errors.push(duplicate(`${path.join(".")}.${field}[${i}].name`, name));
      names.add(name);
    }
  }
  return errors;
}
