/**
 * Roles and bindings, evaluated as Kubernetes does: purely additive, a RoleBinding within its
 * namespace, a ClusterRoleBinding everywhere. Read from the store at every decision, so never stale.
 */
import type { Store } from "../../store/mod.ts";
import type { AccessRequest, User, Verb } from "./authorize.ts";
import type { KubernetesObject } from "./objects.ts";
import { isRecord } from "./prepare.ts";
import { listObjects, readObject } from "./read.ts";
import type { ResourceTable } from "./resources.ts";

const GROUP = "rbac.authorization.k8s.io";
const READS: ReadonlySet<Verb> = new Set<Verb>(["get", "list", "watch"]);

/** Whether some rule that is bound to the user covers the request. */
export async function isAllowedByRoles(
  store: Store,
  table: ResourceTable,
  request: AccessRequest,
): Promise<boolean> {
  // Kubernetes lets nobody grant more than they have; here nobody grants at all by role alone.
  if (request.group === GROUP && !READS.has(request.verb)) return false;
  for await (const rule of boundRules(store, table, request.user, request.namespace)) {
    if (covers(rule, request)) return true;
  }
  return false;
}

/** Every rule that is bound to the user: in the whole cluster, and in the namespace unless it is "". */
export async function* boundRules(
  store: Store,
  table: ResourceTable,
  user: User,
  inNamespace: string,
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const places = inNamespace === "" ? [""] : ["", inNamespace];
  for (const namespace of places) {
    const plural = namespace === "" ? "clusterrolebindings" : "rolebindings";
    const resource = table.byPlural(GROUP, "v1", plural);
    if (resource === undefined) continue;
    const { items } = await listObjects(store, resource, namespace, {});
    for (const item of items) {
      const binding = item.parse();
      if (!concerns(binding, user)) continue;
      yield* (await rulesOf(store, table, binding, namespace)).filter(isRecord);
    }
  }
}

/** Whether the user, or one of the user's groups, is a subject of the binding. */
function concerns(binding: KubernetesObject, user: User): boolean {
  return list(binding["subjects"]).some((subject) => {
    if (!isRecord(subject) || !isOwnGroup(subject)) return isServiceAccount(subject, user);
    if (subject["kind"] === "User") return subject["name"] === user.name;
    return subject["kind"] === "Group" && typeof subject["name"] === "string" &&
      user.groups.includes(subject["name"]);
  });
}

/** Of users, groups and roles, an absent API group is that of RBAC, as the API server fills it in. */
function isOwnGroup({ apiGroup, kind }: Readonly<Record<string, unknown>>): boolean {
  if (apiGroup === GROUP) return true;
  return (apiGroup === undefined || apiGroup === null || apiGroup === "") &&
    kind !== "ServiceAccount";
}

function isServiceAccount(subject: unknown, user: User): boolean {
  if (!isRecord(subject) || subject["kind"] !== "ServiceAccount") return false;
  const { namespace, name } = subject;
  return user.name === `system:serviceaccount:${String(namespace)}:${String(name)}`;
}

/** The rules of the role that a binding refers to; none where the role is not there. */
async function rulesOf(
  store: Store,
  table: ResourceTable,
  binding: KubernetesObject,
  namespace: string,
): Promise<readonly unknown[]> {
  const reference = binding["roleRef"];
  if (!isRecord(reference) || !isOwnGroup(reference)) return [];
  const { kind, name } = reference;
  if (typeof name !== "string") return [];
  const isClusterRole = kind === "ClusterRole";
  if (!isClusterRole && (kind !== "Role" || namespace === "")) return [];
  const resource = table.byPlural(GROUP, "v1", isClusterRole ? "clusterroles" : "roles");
  if (resource === undefined) return [];
  const role = await readObject(store, resource, isClusterRole ? "" : namespace, name);
  return role === undefined ? [] : list(role.parse()["rules"]);
}

/** One PolicyRule against one request. */
export function covers(rule: unknown, request: AccessRequest): boolean {
  if (!isRecord(rule)) return false;
  const names = list(rule["resourceNames"]);
  return includes(rule["verbs"], request.verb) && includes(rule["apiGroups"], request.group) &&
    coversResource(list(rule["resources"]), request.resource) &&
    // A collection has no name, so a rule with names never covers it.
    (names.length === 0 || (request.name !== "" && names.includes(request.name)));
}

function includes(values: unknown, value: string): boolean {
  const all = list(values);
  return all.includes("*") || all.includes(value);
}

/** `pods`, `pods/status`, a star for all of them, or a star before `/status` for that of every resource. */
function coversResource(resources: readonly unknown[], resource: string): boolean {
  if (resources.includes("*") || resources.includes(resource)) return true;
  const [, subresource] = resource.split("/");
  return subresource !== undefined && resources.includes(`*/${subresource}`);
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
