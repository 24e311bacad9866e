/** What is refused of the built-in kinds beyond the types of their fields, in the API server's words. */
import { dataErrors, frozenErrors, isDataKind } from "./config_data.ts";
import type { FieldError } from "./field_errors.ts";
import type { KubernetesObject } from "./objects.ts";
import type { ResourceDefinition } from "./resources.ts";
import { bindingErrors } from "./rbac_rules.ts";
import { isWorkload, podErrors, workloadErrors } from "./workload_rules.ts";

/**
 * @param before the object as it is stored; undefined for a new one.
 * @returns none for a kind without rules. What is being deleted may stay as it is until it is gone: an
 * object from before these rules can be let go.
 */
export function kindErrors(
  object: KubernetesObject,
  before: KubernetesObject | undefined,
  { group, kind }: Pick<ResourceDefinition, "group" | "kind">,
): FieldError[] {
  const isGoing = object.metadata.deletionTimestamp !== undefined;
  if (group === "" && isDataKind(kind)) {
    return [
      ...(isGoing ? [] : dataErrors(object, kind)),
      ...(before === undefined ? [] : frozenErrors(object, before, kind)),
    ];
  }
  if (isGoing) return [];
  if (group === "rbac.authorization.k8s.io" && kind.endsWith("Binding")) {
    return bindingErrors(object, before, kind === "RoleBinding");
  }
  return [
    ...(isWorkload(group, kind) ? workloadErrors(object, before, kind) : []),
    ...podErrors(object, group, kind),
  ];
}
