/** The `/scale` subresource (autoscaling/v1) of what has replicas. */
import * as v from "valibot";
import { trackWrite } from "./apply/apply.ts";
import { validateValue } from "./crd/values.ts";
import { conflict, invalid, notFound, STALE } from "./errors.ts";
import { invalidObject } from "./field_errors.ts";
import { at } from "./json_path.ts";
import type { KubernetesObject } from "./objects.ts";
import { type PlanContext, unchanged, writePlan } from "./plan.ts";
import { isRecord } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { Planned } from "./request.ts";
import type { ResourceDefinition, ScalePaths } from "./resources.ts";
import { StatusError } from "./status.ts";

const SCALABLE: ReadonlySet<string> = new Set([
  "/ReplicationController",
  "apps/Deployment",
  "apps/ReplicaSet",
  "apps/StatefulSet",
]);

export function isScalable(resource: ResourceDefinition): boolean {
  return resource.custom === undefined
    ? SCALABLE.has(`${resource.group}/${resource.kind}`)
    : resource.custom.scale !== undefined;
}

const BUILT_IN_PATHS: ScalePaths = {
  specReplicas: ["spec", "replicas"],
  statusReplicas: ["status", "replicas"],
  labelSelector: undefined,
};

const scaleBody = v.looseObject({
  apiVersion: v.literal("autoscaling/v1"),
  kind: v.literal("Scale"),
  metadata: v.looseObject({ name: v.string(), resourceVersion: v.optional(v.string()) }),
  spec: v.optional(v.looseObject({ replicas: v.optional(v.number(), 0) }), {}),
});

/** Reads, replaces or patches the scale. @throws {StatusError} as for the object itself. */
export async function planScale(context: PlanContext): Promise<Planned> {
  const { store, resource, request } = context;
  const current = await readObject(store, resource, request.namespace, request.name);
  if (current === undefined) throw notFound(resource, request.name);
  const object = current.parse();
  const paths = resource.custom?.scale ?? BUILT_IN_PATHS;
  const answer = (scaled: KubernetesObject): Planned => ({
    kind: "done",
    outcome: { kind: "document", code: 200, document: scaleOf(scaled, resource, paths) },
  });
  if (request.verb === "get") return answer(object);

  if (request.patch?.kind === "apply") {
    throw new StatusError("UnsupportedMediaType", "a scale is not applied: patch or replace it");
  }
  const wanted = request.verb === "patch"
    ? request.patch?.apply(scaleOf(object, resource, paths), {
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
      plural: resource.plural,
      singular: "scale",
      shortNames: [],
      categories: [],
      namespaced: resource.namespaced,
      nameRule: resource.nameRule,
      hasStatus: false,
    })
    : request.body;
  const result = v.safeParse(scaleBody, wanted, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new StatusError("BadRequest", `Scale: field "${v.getDotPath(issue) ?? ""}" is not valid`);
  }
  const { metadata, spec: { replicas } } = result.output;
  if (!Number.isInteger(replicas) || replicas < 0 || replicas > 2 ** 31 - 1) {
    throw invalid(resource, request.name, "spec.replicas", "must be a non-negative integer");
  }
  const version = metadata.resourceVersion ?? "";
  if (metadata.name !== request.name) {
    throw new StatusError(
      "BadRequest",
      "the name of the object does not match the name on the URL",
    );
  }
  if (version !== "" && version !== String(current.revision)) {
    throw conflict(resource, request.name, STALE);
  }
  if (at(object, paths.specReplicas) === replicas) return answer(object);
  const changed: KubernetesObject = {
    ...withField(object, paths.specReplicas, replicas),
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
  };
  if (resource.custom !== undefined) {
    const errors = validateValue(changed, resource.custom.schema, "");
    if (errors.length > 0) throw invalidObject(resource, request.name, errors);
  }
  const next = trackWrite(context, object, changed, []);
  const planned = writePlan(context, current.key, next, 200, "updated", [
    unchanged(current.key, current),
  ]);
  if (planned.kind === "done") return answer(next);
  return {
    ...planned,
    outcome: (revision) => ({
      kind: "document",
      code: 200,
      document: scaleOf(
        { ...next, metadata: { ...next.metadata, resourceVersion: String(revision) } },
        resource,
        paths,
      ),
      change: { status: "updated", key: current.key },
    }),
  };
}

/** A copy with another value at a path of plain fields. */
function withField(
  object: Readonly<Record<string, unknown>>,
  path: readonly string[],
  value: unknown,
): Record<string, unknown> {
  const [name, ...rest] = path;
  if (name === undefined) return { ...object };
  const inner = Object.hasOwn(object, name) ? object[name] : undefined;
  return {
    ...object,
    [name]: rest.length === 0 ? value : withField(isRecord(inner) ? inner : {}, rest, value),
  };
}

function scaleOf(
  object: KubernetesObject,
  resource: ResourceDefinition,
  paths: ScalePaths,
): KubernetesObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = at(object, paths.specReplicas);
  if (resource.custom !== undefined && typeof replicas !== "number") {
    throw new StatusError(
      "InternalError",
      `the spec replicas field ".${paths.specReplicas.join(".")}" does not exist`,
    );
  }
  const actual = at(object, paths.statusReplicas);
  const selector = paths.labelSelector === undefined ? undefined : at(object, paths.labelSelector);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      creationTimestamp,
    },
    spec: { replicas: typeof replicas === "number" ? replicas : 1 },
    status: {
      replicas: typeof actual === "number" ? actual : 0,
      ...(resource.custom === undefined
        ? { selector: selectorText(at(object, ["spec", "selector"])) }
        : typeof selector === "string"
        ? { selector }
        : {}),
    },
  };
}

function selectorText(selector: unknown): string {
  const labels = isRecord(selector) && isRecord(selector["matchLabels"])
    ? selector["matchLabels"]
    : selector;
  return isRecord(labels)
    ? Object.entries(labels).map(([key, value]) => `${key}=${String(value)}`).join(",")
    : "";
}
