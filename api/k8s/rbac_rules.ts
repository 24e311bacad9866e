/** What a RoleBinding and a ClusterRoleBinding have to say, after Kubernetes' validation of rbac/v1. */
import { type FieldError, invalidValue, notSupported, required } from "./field_errors.ts";
import type { KubernetesObject } from "./objects.ts";
import { isRecord } from "./plain.ts";

const GROUP = "rbac.authorization.k8s.io";

type Json = Readonly<Record<string, unknown>>;

function record(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** @param isNamespaced a RoleBinding: its service accounts may leave their namespace out. */
export function bindingErrors(
  binding: KubernetesObject,
  before: KubernetesObject | undefined,
  isNamespaced: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  const role = roleOf(binding);
  if (before !== undefined) {
    const old = roleOf(before);
    if (old.apiGroup !== role.apiGroup || old.kind !== role.kind || old.name !== role.name) {
      errors.push(invalidValue("roleRef", role, "cannot change roleRef"));
    }
  }
  if (role.apiGroup !== GROUP) {
    errors.push(notSupported("roleRef.apiGroup", role.apiGroup, [GROUP]));
  }
  const kinds = isNamespaced ? ["Role", "ClusterRole"] : ["ClusterRole"];
  if (!kinds.includes(role.kind)) errors.push(notSupported("roleRef.kind", role.kind, kinds));
  if (role.name === "") errors.push(required("roleRef.name"));
  else {errors.push(
      ...segmentProblems(role.name).map((p) => invalidValue("roleRef.name", role.name, p)),
    );}
  const subjects = Array.isArray(binding["subjects"]) ? binding["subjects"] : [];
  for (const [i, subject] of subjects.entries()) {
    errors.push(...subjectErrors(record(subject), `subjects[${i}]`, isNamespaced));
  }
  return errors;
}

/** An empty group is the group of roles, as the API server fills it in. */
function roleOf(binding: KubernetesObject): { apiGroup: string; kind: string; name: string } {
  const { apiGroup, kind, name } = record(binding["roleRef"]);
  return { apiGroup: text(apiGroup) || GROUP, kind: text(kind), name: text(name) };
}

/** What cannot be one step of a path. */
function segmentProblems(name: string): string[] {
  if (name === "." || name === "..") return [`may not be '${name}'`];
  return ["/", "%"].filter((char) => name.includes(char)).map((char) =>
    `may not contain '${char}'`
  );
}

function subjectErrors(subject: Json, path: string, isNamespaced: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const kind = text(subject["kind"]);
  const group = text(subject["apiGroup"]);
  if (text(subject["name"]) === "") errors.push(required(`${path}.name`));
  switch (kind) {
    case "ServiceAccount":
      if (group !== "") errors.push(notSupported(`${path}.apiGroup`, group, [""]));
      if (!isNamespaced && text(subject["namespace"]) === "") {
        errors.push(required(`${path}.namespace`));
      }
      break;
    case "User":
    case "Group":
      if (group !== "" && group !== GROUP) {
        errors.push(notSupported(`${path}.apiGroup`, group, [GROUP]));
      }
      break;
    default:
      errors.push(notSupported(`${path}.kind`, kind, ["ServiceAccount", "User", "Group"]));
  }
  return errors;
}
