/** Discovery documents: what there is, as kubectl and client-go ask for it. */
import { compareVersions } from "./crd/names.ts";
import { type ReviewKind, REVIEWS } from "./reviews.ts";
import { isScalable } from "./scale.ts";
import { apiVersionOf, type ResourceDefinition, type ResourceTable } from "./resources.ts";

const VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const STATUS_VERBS = ["get", "patch", "update"];

/** `GET /api` */
export function apiVersions(): Record<string, unknown> {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
}

/** `GET /apis` */
export function apiGroupList(table: ResourceTable): Record<string, unknown> {
  const groups = [...new Set(served(table).map(({ group }) => group))].filter((group) =>
    group !== ""
  );
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: groups.map((group) => groupOf(table, group)),
  };
}

/** `GET /apis/{group}`; undefined where there is no such group. */
export function apiGroup(table: ResourceTable, group: string): Record<string, unknown> | undefined {
  if (group === "" || !served(table).some((resource) => resource.group === group)) return undefined;
  return { kind: "APIGroup", apiVersion: "v1", ...groupOf(table, group) };
}

function groupOf(table: ResourceTable, group: string): Record<string, unknown> {
  const versions = [
    ...new Set(
      served(table).filter((resource) => resource.group === group).map(({ version }) => version),
    ),
  ].sort(compareVersions).map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return { name: group, versions, preferredVersion: versions[0] };
}

/** `GET /api/v1`, `GET /apis/{group}/{version}`; undefined where nothing of it is served. */
export function apiResourceList(
  table: ResourceTable,
  group: string,
  version: string,
): Record<string, unknown> | undefined {
  const resources = table.all().filter((resource) =>
    resource.group === group && resource.version === version
  );
  const reviews = REVIEWS.filter((review) => review.group === group && review.version === version);
  if (resources.length + reviews.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: apiVersionOf({ group, version }),
    resources: [...resources.flatMap(entries), ...reviews.map(reviewEntry)],
  };
}

/** Every kind that there is a group and version of. */
function served(table: ResourceTable): readonly { group: string; version: string }[] {
  return [...table.all(), ...REVIEWS];
}

function reviewEntry({ plural, singular, kind }: ReviewKind): Record<string, unknown> {
  return { name: plural, singularName: singular, namespaced: false, kind, verbs: ["create"] };
}

function entries(resource: ResourceDefinition): Record<string, unknown>[] {
  const { plural, singular, namespaced, kind, shortNames, categories, hasStatus } = resource;
  const base = { name: plural, singularName: singular, namespaced, kind, verbs: VERBS };
  const out: Record<string, unknown>[] = [{
    ...base,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  }];
  if (hasStatus) {
    out.push({ ...base, name: `${plural}/status`, singularName: "", verbs: STATUS_VERBS });
  }
  if (isScalable(resource)) {
    out.push({
      name: `${plural}/scale`,
      singularName: "",
      namespaced,
      group: "autoscaling",
      version: "v1",
      kind: "Scale",
      verbs: STATUS_VERBS,
    });
  }
  return out;
}
