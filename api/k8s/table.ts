/** What `kubectl get` prints: meta/v1 Table with the columns of each kind. */
import type { KubernetesObject, StoredObject } from "./objects.ts";
import { findByPath } from "./json_path.ts";
import { isRecord } from "./plain.ts";
import type { PrinterColumn, ResourceDefinition } from "./resources.ts";

interface Column {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  /** 0 is always shown, more than that with `-o wide`. */
  readonly priority: number;
  cell(object: KubernetesObject, now: number): string | number | boolean | null;
}

/** Which object goes with each row. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** @param now milliseconds since the epoch, for ages. */
export function tableOf(
  resource: ResourceDefinition,
  items: readonly StoredObject[],
  metadata: Record<string, unknown>,
  include: IncludeObject,
  now: number,
): Record<string, unknown> {
  return table(columnsOf(resource), items.map((item) => item.parse()), metadata, include, now);
}

/** A Scale as `kubectl get --subresource=scale` prints it. @param now milliseconds since the epoch */
export function scaleTable(
  scale: KubernetesObject,
  include: IncludeObject,
  now: number,
): Record<string, unknown> {
  const metadata = { resourceVersion: scale.metadata.resourceVersion ?? "" };
  return table([NAME, ...SCALE_COLUMNS], [scale], metadata, include, now);
}

function table(
  columns: readonly Column[],
  objects: readonly KubernetesObject[],
  metadata: Record<string, unknown>,
  include: IncludeObject,
  now: number,
): Record<string, unknown> {
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata,
    columnDefinitions: columns.map(({ name, type, format, description, priority }) => ({
      name,
      type,
      format: format ?? "",
      description: description ?? "",
      priority,
    })),
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.cell(object, now)),
      ...rowObject(object, include),
    })),
  };
}

function rowObject(object: KubernetesObject, include: IncludeObject): Record<string, unknown> {
  switch (include) {
    case "None":
      return {};
    case "Object":
      return { object };
    case "Metadata":
      return {
        object: {
          kind: "PartialObjectMetadata",
          apiVersion: "meta.k8s.io/v1",
          metadata: object.metadata,
        },
      };
  }
}

function column(name: string, cell: Column["cell"], priority: 0 | 1 = 0): Column {
  return { name, type: "string", priority, cell };
}

function field(object: unknown, ...path: readonly string[]): unknown {
  let value = object;
  for (const name of path) {
    if (!isRecord(value)) return undefined;
    value = value[name];
  }
  return value;
}

function text(object: unknown, ...path: readonly string[]): string {
  const value = field(object, ...path);
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : "";
}

function shown(value: string): string {
  return value === "" ? "<none>" : value;
}

function items(object: unknown, ...path: readonly string[]): readonly unknown[] {
  const value = field(object, ...path);
  return Array.isArray(value) ? value : [];
}

function count(object: unknown, ...path: readonly string[]): string {
  const value = field(object, ...path);
  return String(
    isRecord(value) ? Object.keys(value).length : Array.isArray(value) ? value.length : 0,
  );
}

const NAME: Column = {
  name: "Name",
  type: "string",
  format: "name",
  priority: 0,
  cell: (object) => object.metadata.name,
};

const AGE: Column = column("Age", (object, now) => {
  const created = Date.parse(object.metadata.creationTimestamp);
  return Number.isNaN(created) ? "<unknown>" : humanDuration(now - created);
});

/** As kubectl writes durations: `5s`, `2m10s`, `3h5m`, `2d`, `1y20d`. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return join(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return join(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return join(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? join(years, "y", days % 365, "d") : `${years}y`;
}

function join(big: number, bigUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
}

const IMAGES = (path: readonly string[]): Column =>
  column(
    "Images",
    (object) => items(object, ...path, "containers").map((c) => text(c, "image")).join(","),
    1,
  );
const TEMPLATE = ["spec", "template", "spec"] as const;

const SCALE_COLUMNS: readonly Column[] = [
  column("Desired", (scale) => text(scale, "spec", "replicas") || "0"),
  column("Available", (scale) => text(scale, "status", "replicas") || "0"),
  AGE,
];

const SPECIFIC: Readonly<Record<string, readonly Column[]>> = {
  "/Pod": [
    column("Ready", (pod) => {
      const ready = items(pod, "status", "containerStatuses").filter((s) =>
        field(s, "ready") === true
      );
      return `${ready.length}/${items(pod, "spec", "containers").length}`;
    }),
    column(
      "Status",
      (pod) =>
        pod.metadata.deletionTimestamp !== undefined
          ? "Terminating"
          : text(pod, "status", "reason") || text(pod, "status", "phase") || "Unknown",
    ),
    column("Restarts", (pod) =>
      String(
        items(pod, "status", "containerStatuses").reduce<number>(
          (sum, s) => sum + (Number(field(s, "restartCount")) || 0),
          0,
        ),
      )),
    AGE,
    column("IP", (pod) => shown(text(pod, "status", "podIP")), 1),
    column("Node", (pod) => shown(text(pod, "spec", "nodeName")), 1),
  ],
  "/Namespace": [column("Status", (object) => text(object, "status", "phase")), AGE],
  "/Node": [
    column("Status", (node) => {
      const ready = items(node, "status", "conditions").find((c) => text(c, "type") === "Ready");
      const status = text(ready, "status") === "True"
        ? "Ready"
        : text(ready, "status") === ""
        ? "Unknown"
        : "NotReady";
      return field(node, "spec", "unschedulable") === true
        ? `${status},SchedulingDisabled`
        : status;
    }),
    column("Roles", (node) => {
      const prefix = "node-role.kubernetes.io/";
      const roles = Object.keys(node.metadata.labels ?? {}).filter((key) => key.startsWith(prefix));
      return shown(roles.map((key) => key.slice(prefix.length)).sort().join(","));
    }),
    AGE,
    column("Version", (node) => text(node, "status", "nodeInfo", "kubeletVersion")),
  ],
  "/Service": [
    column("Type", (object) => text(object, "spec", "type") || "ClusterIP"),
    column("Cluster-IP", (object) => shown(text(object, "spec", "clusterIP"))),
    column("External-IP", (object) => shown(items(object, "spec", "externalIPs").join(","))),
    column("Port(s)", (object) =>
      shown(
        items(object, "spec", "ports").map((p) =>
          `${text(p, "port")}/${text(p, "protocol") || "TCP"}`
        )
          .join(","),
      )),
    AGE,
  ],
  "/ConfigMap": [column("Data", (object) => count(object, "data")), AGE],
  "/Secret": [
    column("Type", (object) => text(object, "type")),
    column("Data", (object) => count(object, "data")),
    AGE,
  ],
  "/Event": [
    column("Last Seen", (object, now) => {
      const at = Date.parse(text(object, "lastTimestamp") || object.metadata.creationTimestamp);
      return Number.isNaN(at) ? "<unknown>" : humanDuration(now - at);
    }),
    column("Type", (object) => text(object, "type")),
    column("Reason", (object) => text(object, "reason")),
    column(
      "Object",
      (object) =>
        `${text(object, "involvedObject", "kind").toLowerCase()}/${
          text(object, "involvedObject", "name")
        }`,
    ),
    column("Message", (object) => text(object, "message")),
  ],
  "apps/Deployment": [
    column(
      "Ready",
      (object) =>
        `${text(object, "status", "readyReplicas") || "0"}/${
          text(object, "spec", "replicas") || "1"
        }`,
    ),
    column("Up-to-date", (object) => text(object, "status", "updatedReplicas") || "0"),
    column("Available", (object) => text(object, "status", "availableReplicas") || "0"),
    AGE,
    IMAGES(TEMPLATE),
  ],
  "apps/ReplicaSet": [
    column("Desired", (object) => text(object, "spec", "replicas") || "1"),
    column("Current", (object) => text(object, "status", "replicas") || "0"),
    column("Ready", (object) => text(object, "status", "readyReplicas") || "0"),
    AGE,
    IMAGES(TEMPLATE),
  ],
  "apps/StatefulSet": [
    column(
      "Ready",
      (object) =>
        `${text(object, "status", "readyReplicas") || "0"}/${
          text(object, "spec", "replicas") || "1"
        }`,
    ),
    AGE,
    IMAGES(TEMPLATE),
  ],
  "apps/DaemonSet": [
    column("Desired", (object) => text(object, "status", "desiredNumberScheduled") || "0"),
    column("Current", (object) => text(object, "status", "currentNumberScheduled") || "0"),
    column("Ready", (object) => text(object, "status", "numberReady") || "0"),
    AGE,
    IMAGES(TEMPLATE),
  ],
  "batch/Job": [
    column(
      "Completions",
      (object) =>
        `${text(object, "status", "succeeded") || "0"}/${
          text(object, "spec", "completions") || "1"
        }`,
    ),
    AGE,
    IMAGES(TEMPLATE),
  ],
  "batch/CronJob": [
    column("Schedule", (object) => text(object, "spec", "schedule")),
    column("Suspend", (object) => field(object, "spec", "suspend") === true ? "True" : "False"),
    AGE,
  ],
  "apiextensions.k8s.io/CustomResourceDefinition": [
    column("Created At", (object) => object.metadata.creationTimestamp),
  ],
  "rbac.authorization.k8s.io/RoleBinding": [roleColumn(), AGE],
  "rbac.authorization.k8s.io/ClusterRoleBinding": [roleColumn(), AGE],
  "networking.k8s.io/Ingress": [
    column("Class", (object) => shown(text(object, "spec", "ingressClassName"))),
    column("Hosts", (object) => {
      const hosts = items(object, "spec", "rules").map((rule) => text(rule, "host"));
      return hosts.filter((host) => host !== "").join(",") || "*";
    }),
    column("Address", (object) =>
      items(object, "status", "loadBalancer", "ingress")
        .map((one) => text(one, "ip") || text(one, "hostname")).join(",")),
    column("Ports", (object) => items(object, "spec", "tls").length > 0 ? "80, 443" : "80"),
    AGE,
  ],
  "networking.k8s.io/IngressClass": [
    column("Controller", (object) => text(object, "spec", "controller")),
    AGE,
  ],
  "coordination.k8s.io/Lease": [
    column("Holder", (object) => text(object, "spec", "holderIdentity")),
    AGE,
  ],
};

function roleColumn(): Column {
  return column(
    "Role",
    (object) => `${text(object, "roleRef", "kind")}/${text(object, "roleRef", "name")}`,
  );
}

/** A column of a CustomResourceDefinition: the first value at its path, by the column's type. */
function customColumn({ name, type, format, description, priority, path }: PrinterColumn): Column {
  return {
    name,
    type,
    format,
    description,
    priority,
    cell(object, now) {
      const [value] = findByPath(object, path);
      if (value === undefined || value === null) return null;
      switch (type) {
        case "integer":
          return typeof value === "number" ? Math.trunc(value) : null;
        case "number":
          return typeof value === "number" ? value : null;
        case "boolean":
          return typeof value === "boolean" ? value : null;
        case "date": {
          const time = typeof value === "string" ? Date.parse(value) : NaN;
          return Number.isNaN(time) ? "<invalid>" : humanDuration(now - time);
        }
      }
      return typeof value === "string" ? value : JSON.stringify(value);
    },
  };
}

function columnsOf(resource: ResourceDefinition): readonly Column[] {
  const { custom } = resource;
  if (custom !== undefined) {
    return [NAME, ...(custom.columns.length === 0 ? [AGE] : custom.columns.map(customColumn))];
  }
  return [NAME, ...(SPECIFIC[`${resource.group}/${resource.kind}`] ?? [AGE])];
}
