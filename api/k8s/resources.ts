/** The fixed table of kinds: Kind ↔ plural ↔ group/version ↔ scope, with what kubectl asks for. */
import type { JsonPath } from "./json_path.ts";
import type { SchemaRules } from "./crd/cel/rules.ts";
import type { JsonSchema } from "./crd/json_schema.ts";
import type { NameRule } from "./names.ts";

export interface ResourceDefinition {
  /** "" is the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly nameRule: NameRule;
  /** Has a `/status` subresource, so that a write of the object leaves `status` alone. */
  readonly hasStatus: boolean;
  /** Set where a CustomResourceDefinition says what the kind is. */
  readonly custom?: CustomKind;
}

/** One version of a kind that a CustomResourceDefinition defines. */
export interface CustomKind {
  readonly schema: JsonSchema;
  /** Rules of the schema; undefined: it has none. */
  readonly rules: SchemaRules | undefined;
  /** The schema as it was written, for OpenAPI. */
  readonly published: Readonly<Record<string, unknown>>;
  readonly listKind: string;
  /** The version that objects are stored as. */
  readonly storageVersion: string;
  /** What a client is told with every answer; undefined for a version that is not deprecated. */
  readonly warning: string | undefined;
  readonly columns: readonly PrinterColumn[];
  readonly scale: ScalePaths | undefined;
  /** Paths of fields that may be selected on, as written. */
  readonly selectableFields: readonly string[];
  /** Being deleted: nothing is created any more. */
  readonly terminating: boolean;
  /** Key of the definition in the `k8s` keyspace, and the revision it was read at. */
  readonly definition: { readonly key: string; readonly revision: number };
}

export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
  readonly path: JsonPath;
}

/** Where a Scale finds its numbers; each path is plain fields. */
export interface ScalePaths {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  readonly labelSelector: readonly string[] | undefined;
}

/** `v1`, or `apps/v1`. */
export function apiVersionOf(
  resource: { readonly group: string; readonly version: string },
): string {
  return resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
}

/** `pods`, or `deployments.apps`: as Kubernetes names a resource in messages. */
export function qualifiedResource(resource: ResourceDefinition): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

/** `Pod`, or `Deployment.apps`: as Kubernetes names a kind in messages. */
export function qualifiedKind(resource: Pick<ResourceDefinition, "group" | "kind">): string {
  return resource.group === "" ? resource.kind : `${resource.kind}.${resource.group}`;
}

/** The kind of a list of them. */
export function listKindOf(resource: ResourceDefinition): string {
  return resource.custom?.listKind ?? `${resource.kind}List`;
}

/** One definition for each place in the store, whatever the number of versions. */
export function distinctKinds(table: ResourceTable): ResourceDefinition[] {
  const places = new Map<string, ResourceDefinition>();
  for (const resource of table.all()) {
    const place = qualifiedResource(resource);
    if (!places.has(place)) places.set(place, resource);
  }
  return [...places.values()];
}

/** Finds definitions: those of the fixed table, then those that CustomResourceDefinitions add. */
export interface ResourceTable {
  all(): readonly ResourceDefinition[];
  byPlural(group: string, version: string, plural: string): ResourceDefinition | undefined;
  byKind(group: string, version: string, kind: string): ResourceDefinition | undefined;
}

/** @throws {TypeError} when two definitions share a group, version and plural or kind. */
export function createResourceTable(
  definitions: readonly ResourceDefinition[] = BUILT_IN_RESOURCES,
): ResourceTable {
  const plurals = new Map<string, ResourceDefinition>();
  const kinds = new Map<string, ResourceDefinition>();
  for (const definition of definitions) {
    const plural = `${apiVersionOf(definition)}/${definition.plural}`;
    const kind = `${apiVersionOf(definition)}/${definition.kind}`;
    if (plurals.has(plural) || kinds.has(kind)) {
      throw new TypeError(`resource ${plural} (${definition.kind}) is defined twice`);
    }
    plurals.set(plural, definition);
    kinds.set(kind, definition);
  }
  return {
    all: () => definitions,
    byPlural: (group, version, plural) =>
      plurals.get(`${apiVersionOf({ group, version })}/${plural}`),
    byKind: (group, version, kind) => kinds.get(`${apiVersionOf({ group, version })}/${kind}`),
  };
}

interface Options {
  readonly short?: readonly string[];
  readonly all?: boolean;
  readonly categories?: readonly string[];
  readonly rule?: NameRule;
  readonly status?: boolean;
  readonly singular?: string;
}

function define(group: string, namespaced: boolean) {
  return (kind: string, plural: string, options: Options = {}): ResourceDefinition => ({
    group,
    version: "v1",
    kind,
    plural,
    singular: options.singular ?? kind.toLowerCase(),
    shortNames: options.short ?? [],
    categories: options.all === true ? ["all"] : options.categories ?? [],
    namespaced,
    nameRule: options.rule ?? "subdomain",
    hasStatus: options.status ?? false,
  });
}

const core = define("", true);
const coreCluster = define("", false);
const apps = define("apps", true);
const batch = define("batch", true);
const rbac = define("rbac.authorization.k8s.io", true);
const rbacCluster = define("rbac.authorization.k8s.io", false);
const coordination = define("coordination.k8s.io", true);
const networking = define("networking.k8s.io", true);
const networkingCluster = define("networking.k8s.io", false);
const extensions = define("apiextensions.k8s.io", false);

/** What this master serves without being taught. */
export const BUILT_IN_RESOURCES: readonly ResourceDefinition[] = Object.freeze([
  coreCluster("Namespace", "namespaces", { short: ["ns"], rule: "label", status: true }),
  coreCluster("Node", "nodes", { short: ["no"], status: true }),
  coreCluster("PersistentVolume", "persistentvolumes", { short: ["pv"], status: true }),
  core("ConfigMap", "configmaps", { short: ["cm"] }),
  core("Endpoints", "endpoints", { short: ["ep"], singular: "endpoints" }),
  core("Event", "events", { short: ["ev"] }),
  core("LimitRange", "limitranges", { short: ["limits"] }),
  core("PersistentVolumeClaim", "persistentvolumeclaims", { short: ["pvc"], status: true }),
  core("Pod", "pods", { short: ["po"], all: true, status: true }),
  core("PodTemplate", "podtemplates"),
  core("ReplicationController", "replicationcontrollers", {
    short: ["rc"],
    all: true,
    status: true,
  }),
  core("ResourceQuota", "resourcequotas", { short: ["quota"], status: true }),
  core("Secret", "secrets"),
  core("Service", "services", { short: ["svc"], all: true, rule: "dns1035", status: true }),
  core("ServiceAccount", "serviceaccounts", { short: ["sa"] }),
  apps("ControllerRevision", "controllerrevisions"),
  apps("DaemonSet", "daemonsets", { short: ["ds"], all: true, status: true }),
  apps("Deployment", "deployments", { short: ["deploy"], all: true, status: true }),
  apps("ReplicaSet", "replicasets", { short: ["rs"], all: true, status: true }),
  apps("StatefulSet", "statefulsets", { short: ["sts"], all: true, status: true }),
  batch("CronJob", "cronjobs", { short: ["cj"], all: true, status: true }),
  batch("Job", "jobs", { all: true, status: true }),
  rbac("Role", "roles", { rule: "path" }),
  rbac("RoleBinding", "rolebindings", { rule: "path" }),
  rbacCluster("ClusterRole", "clusterroles", { rule: "path" }),
  rbacCluster("ClusterRoleBinding", "clusterrolebindings", { rule: "path" }),
  coordination("Lease", "leases"),
  networking("Ingress", "ingresses", { short: ["ing"], status: true }),
  networking("NetworkPolicy", "networkpolicies", { short: ["netpol"] }),
  networkingCluster("IngressClass", "ingressclasses"),
  extensions("CustomResourceDefinition", "customresourcedefinitions", {
    short: ["crd", "crds"],
    categories: ["api-extensions"],
    status: true,
  }),
]);
