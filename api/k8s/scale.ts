/** The `/scale` subresource (autoscaling/v1) of what has replicas. */
import * as v from "valibot";
import { conflict, invalid, notFound, STALE } from "./errors.ts";
import type { KubernetesObject } from "./objects.ts";
import { type PlanContext, unchanged, writePlan } from "./plan.ts";
import { isRecord } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { Planned } from "./request.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";

const SCALABLE: ReadonlySet<string> = new Set([
  "/ReplicationController",
  "apps/Deployment",
  "apps/ReplicaSet",
  "apps/StatefulSet",
]);

export function isScalable(resource: ResourceDefinition): boolean {
  return SCALABLE.has(`${resource.group}/${resource.kind}`);
}

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
  if (request.verb === "get") return answer(object);

  const wanted = request.verb === "patch"
    ? request.patch?.apply(scaleOf(object), { ...resource, kind: "Scale" })
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
  const spec = isRecord(object["spec"]) ? object["spec"] : {};
  if (spec["replicas"] === replicas) return answer(object);
  const next: KubernetesObject = {
    ...object,
    metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
    spec: { ...spec, replicas },
  };
  const planned = writePlan(context, current.key, next, 200, "updated", [
    unchanged(current.key, current),
  ]);
  if (planned.kind === "done") return answer(next);
  return {
    ...planned,
    outcome: (revision) => ({
      kind: "document",
      code: 200,
      document: scaleOf({
        ...next,
        metadata: { ...next.metadata, resourceVersion: String(revision) },
      }),
      change: { status: "updated", key: current.key },
    }),
  };
}

function answer(object: KubernetesObject): Planned {
  return { kind: "done", outcome: { kind: "document", code: 200, document: scaleOf(object) } };
}

function scaleOf(object: KubernetesObject): KubernetesObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const spec = isRecord(object["spec"]) ? object["spec"] : {};
  const status = isRecord(object["status"]) ? object["status"] : {};
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
    spec: { replicas: typeof spec["replicas"] === "number" ? spec["replicas"] : 1 },
    status: {
      replicas: typeof status["replicas"] === "number" ? status["replicas"] : 0,
      selector: selectorText(spec["selector"]),
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
