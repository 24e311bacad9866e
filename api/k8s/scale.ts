/** The `/scale` subresource (autoscaling/v1) of what has replicas. */
import {
  type Applied,
  applyConfiguration,
  trackWrite,
  typedPatchError,
  withManagers,
} from "./apply/apply.ts";
import { undeclaredProblem } from "./apply/declared.ts";
import { ATOMIC } from "./apply/merge_schema.ts";
import { objectErrors } from "./crd/object_errors.ts";
import { notFound } from "./errors.ts";
import { invalidObject } from "./field_errors.ts";
import { at } from "./json_path.ts";
import { reportApplied, reportFields } from "./known_fields.ts";
import type { KubernetesObject } from "./objects.ts";
import { type PlanContext, unchanged, writePlan } from "./plan.ts";
import { equalJson, isRecord } from "./plain.ts";
import { readObject } from "./read.ts";
import type { ApplyPatch, Planned } from "./request.ts";
import type { ResourceDefinition, ScalePaths } from "./resources.ts";
import { checkedReplicas, checkPreconditions, decodeScale, SCALE_KIND } from "./scale_body.ts";
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

/** Reads, replaces, patches or applies the scale. @throws {StatusError} as for the object itself. */
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

  const { patch } = request;
  const applied = patch?.kind === "apply" ? applyScale(context, object, paths, patch) : undefined;
  const replicas = applied?.replicas ?? replicasOf(context, object, paths);
  const isSame = at(object, paths.specReplicas) === replicas;
  if (isSame && applied === undefined) return answer(object);
  const changed: KubernetesObject = isSame ? object : {
    ...withField(object, paths.specReplicas, replicas),
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: { ...object.metadata, generation: (object.metadata.generation ?? 0) + 1 },
  };
  if (resource.custom !== undefined) {
    const errors = objectErrors(changed, object, resource.custom);
    if (errors.length > 0) throw invalidObject(resource, request.name, errors);
  }
  const next = applied === undefined
    ? trackWrite(context, object, changed, [])
    : withManagers(changed, applied.managedFields);
  if (equalJson(next, object)) return answer(object);
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

/** What a replacement or a patch asks for. @throws {StatusError} BadRequest, Conflict, Invalid */
function replicasOf(context: PlanContext, object: KubernetesObject, paths: ScalePaths): number {
  const { resource, request } = context;
  const { patch } = request;
  const wanted = patch?.kind === "change"
    ? patch.apply(scaleOf(object, resource, paths), {
      ...SCALE_KIND,
      plural: resource.plural,
      singular: "scale",
      shortNames: [],
      categories: [],
      namespaced: resource.namespaced,
      nameRule: resource.nameRule,
      hasStatus: false,
    })
    : request.body;
  const { scale, unknown } = decodeScale(context, wanted);
  reportFields(
    request,
    SCALE_KIND,
    unknown,
    patch?.kind === "change" ? { object: wanted, problems: patch.problems } : undefined,
  );
  if (scale.metadata?.name !== request.name) {
    throw new StatusError(
      "BadRequest",
      `the name of the object (${
        scale.metadata?.name ?? ""
      }) does not match the name on the URL (${request.name})`,
    );
  }
  checkPreconditions(context, object, scale);
  return checkedReplicas(request.name, scale.spec?.replicas ?? 0);
}

/**
 * What an applied scale comes to. Replicas that are applied no longer, and that nobody else holds, go;
 * a Scale without replicas says 0.
 *
 * @throws {StatusError} Conflict where somebody else holds them; BadRequest, Invalid
 */
function applyScale(
  context: PlanContext,
  object: KubernetesObject,
  paths: ScalePaths,
  patch: ApplyPatch,
): { readonly replicas: number; readonly managedFields: Applied["managedFields"] } {
  const { request } = context;
  const given = isRecord(patch.config) ? patch.config["apiVersion"] : undefined;
  if (given !== undefined && given !== "autoscaling/v1") {
    throw new StatusError(
      "BadRequest",
      `Incorrect version specified in apply patch. Specified patch version: ${
        String(given).slice(0, 100)
      }, expected: autoscaling/v1`,
    );
  }
  const { scale, unknown } = decodeScale(context, patch.config);
  if ((scale.metadata?.managedFields ?? []).length > 0) {
    throw new StatusError("BadRequest", "metadata.managedFields must be nil");
  }
  const undeclared = undeclaredProblem(unknown, patch.config, ATOMIC);
  if (undeclared !== undefined) throw typedPatchError(request, SCALE_KIND, undeclared);
  const name = scale.metadata?.name ?? "";
  if (name !== "" && name !== request.name) {
    throw new StatusError(
      "BadRequest",
      `the name of the object (${name}) does not match the name on the URL (${request.name})`,
    );
  }
  checkPreconditions(context, object, scale);
  const wanted = scale.spec?.replicas;
  if (typeof wanted === "number") checkedReplicas(request.name, wanted);
  const { apiVersion, kind } = object;
  const config = { apiVersion, kind, metadata: { name: request.name } };
  const applied = applyConfiguration(
    context,
    object,
    typeof wanted === "number" ? withField(config, paths.specReplicas, wanted) : config,
    patch,
  );
  reportApplied(request, patch);
  const replicas = isRecord(applied.body) ? at(applied.body, paths.specReplicas) : undefined;
  return {
    replicas: typeof replicas === "number" ? replicas : 0,
    managedFields: applied.managedFields,
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
