/** Filling in what the server decides: metadata, and the few fields a kind starts with. */
import type { Bytes } from "../../backends/mod.ts";
import { invalid } from "./errors.ts";
import { nameProblem } from "./names.ts";
import { equalJson, isRecord } from "./plain.ts";
import type { KubernetesObject, ObjectMeta, SubmittedObject } from "./objects.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";

export { equalJson, isRecord };

/** Clock and randomness of the service. */
export interface Sources {
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
}

/** RFC 3339 with whole seconds, as Kubernetes writes its timestamps. */
export function kubernetesTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d{3}Z$/, "Z");
}

/** A version 4 UUID (RFC 9562, 5.4) of 16 random bytes. */
export function uuid(random: Bytes): string {
  const bytes = random.slice(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toHex();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${
    hex.slice(20)
  }`;
}

/** Kubernetes' own alphabet for generated names: no vowels, nothing that looks like something else. */
const SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** The name an object gets: its own, or a generated one. @throws {StatusError} Invalid */
export function chooseName(
  submitted: SubmittedObject,
  resource: ResourceDefinition,
  sources: Sources,
): string {
  const { name, generateName } = submitted.metadata;
  let chosen = name ?? "";
  if (chosen === "" && generateName !== undefined && generateName !== null && generateName !== "") {
    const limit = (resource.nameRule === "label" || resource.nameRule === "dns1035" ? 63 : 253) - 5;
    const suffix = Array.from(
      sources.random(5),
      (byte) => SUFFIX_ALPHABET[byte % SUFFIX_ALPHABET.length],
    ).join("");
    chosen = `${generateName.slice(0, limit)}${suffix}`;
  }
  if (chosen === "") {
    throw invalid(
      resource,
      "",
      "metadata.name",
      "Required value: name or generateName is required",
    );
  }
  const problem = nameProblem(chosen, resource.nameRule);
  if (problem !== undefined) {
    throw invalid(resource, chosen, "metadata.name", `Invalid value: "${chosen}": ${problem}`);
  }
  return chosen;
}

/** A new object, ready to be stored. */
export function prepareCreate(
  submitted: SubmittedObject,
  resource: ResourceDefinition,
  namespace: string,
  name: string,
  sources: Sources,
): KubernetesObject {
  const { apiVersion, kind, metadata: given, status, ...rest } = submitted;
  if (
    given.resourceVersion !== undefined && given.resourceVersion !== null &&
    given.resourceVersion !== ""
  ) {
    throw new StatusError(
      "BadRequest",
      "resourceVersion should not be set on objects to be created",
    );
  }
  const metadata: ObjectMeta = {
    name,
    ...(typeof given.generateName === "string" && given.generateName !== ""
      ? { generateName: given.generateName }
      : {}),
    ...(resource.namespaced ? { namespace } : {}),
    uid: uuid(sources.random(16)),
    ...(Object.hasOwn(rest, "spec") || resource.custom !== undefined ? { generation: 1 } : {}),
    creationTimestamp: kubernetesTime(sources.clock()),
    ...clientMeta(given),
  };
  const object: KubernetesObject = {
    apiVersion,
    kind,
    metadata,
    ...rest,
    // A client does not say how an object is doing by creating it.
    ...(resource.hasStatus || status === undefined ? {} : { status }),
  };
  return startingState(object, resource);
}

/** The object after a full replacement, or a replacement of its status. */
export function prepareUpdate(
  submitted: SubmittedObject,
  current: KubernetesObject,
  resource: ResourceDefinition,
  subresource: "status" | undefined,
): KubernetesObject {
  if (subresource === "status") {
    return withStatus({ ...current }, submitted["status"]);
  }
  const { apiVersion, kind, metadata: given, status, ...rest } = submitted;
  const old = current.metadata;
  if (old.deletionTimestamp !== undefined) {
    const added = (given.finalizers ?? []).filter((name) => !(old.finalizers ?? []).includes(name));
    if (added.length > 0) {
      throw invalid(
        resource,
        old.name,
        "metadata.finalizers",
        "Forbidden: no new finalizers can be added if the object is being deleted",
      );
    }
  }
  const metadata: ObjectMeta = {
    name: old.name,
    ...(old.generateName === undefined ? {} : { generateName: old.generateName }),
    ...(old.namespace === undefined ? {} : { namespace: old.namespace }),
    uid: old.uid,
    ...(old.generation === undefined ? {} : { generation: old.generation }),
    creationTimestamp: old.creationTimestamp,
    ...(old.deletionTimestamp === undefined ? {} : { deletionTimestamp: old.deletionTimestamp }),
    ...(old.deletionGracePeriodSeconds === undefined
      ? {}
      : { deletionGracePeriodSeconds: old.deletionGracePeriodSeconds }),
    ...clientMeta(given),
  };
  let next: KubernetesObject = { apiVersion, kind, metadata, ...rest };
  next = withStatus(next, resource.hasStatus ? current["status"] : status);
  next = secretData(next, resource);
  if (metadata.generation !== undefined && hasNewGeneration(next, current, resource)) {
    metadata.generation += 1;
  }
  return next;
}

/** Whether what the object asks for changed: `spec`, or all of a custom object but its metadata and status. */
function hasNewGeneration(
  next: KubernetesObject,
  current: KubernetesObject,
  resource: ResourceDefinition,
): boolean {
  if (resource.custom === undefined) return !equalJson(next["spec"], current["spec"]);
  const asked = ({ metadata: _, status, ...rest }: KubernetesObject) =>
    resource.hasStatus ? rest : { ...rest, status };
  return !equalJson(asked(next), asked(current));
}

function withStatus(object: KubernetesObject, status: unknown): KubernetesObject {
  const { status: _, ...rest } = object;
  const next: KubernetesObject = {
    ...rest,
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: object.metadata,
  };
  if (status !== undefined) next["status"] = status;
  return next;
}

/** What a client may say in metadata. Empty collections are left out, as Kubernetes leaves them out. */
function clientMeta(given: SubmittedObject["metadata"]): Partial<ObjectMeta> {
  const out: Partial<ObjectMeta> = {};
  if (given.labels && Object.keys(given.labels).length > 0) out.labels = given.labels;
  if (given.annotations && Object.keys(given.annotations).length > 0) {
    out.annotations = given.annotations;
  }
  if (given.ownerReferences && given.ownerReferences.length > 0) {
    out.ownerReferences = given.ownerReferences.map((owner) => ({
      apiVersion: owner.apiVersion,
      kind: owner.kind,
      name: owner.name,
      uid: owner.uid,
      ...(owner.controller === undefined ? {} : { controller: owner.controller }),
      ...(owner.blockOwnerDeletion === undefined
        ? {}
        : { blockOwnerDeletion: owner.blockOwnerDeletion }),
    }));
  }
  if (given.finalizers && given.finalizers.length > 0) {
    out.finalizers = [...new Set(given.finalizers)];
  }
  return out;
}

function startingState(object: KubernetesObject, resource: ResourceDefinition): KubernetesObject {
  if (resource.group !== "") return object;
  switch (resource.kind) {
    case "Namespace":
      return {
        ...object,
        metadata: {
          ...object.metadata,
          labels: {
            ...object.metadata.labels,
            "kubernetes.io/metadata.name": object.metadata.name,
          },
        },
        spec: { finalizers: ["kubernetes"] },
        status: { phase: "Active" },
      };
    case "Pod":
      return { ...object, status: { phase: "Pending" } };
    case "PersistentVolume":
    case "PersistentVolumeClaim":
      return { ...object, status: { phase: "Pending" } };
    case "Secret":
      return secretData(object, resource);
  }
  return object;
}

/** A secret with a type, and with `stringData`, which is for writing only, as base64 in `data`. */
function secretData(given: KubernetesObject, resource: ResourceDefinition): KubernetesObject {
  if (resource.group !== "" || resource.kind !== "Secret") return given;
  const object = (given["type"] ?? "") === "" ? { ...given, type: "Opaque" } : given;
  const { stringData, ...rest } = object;
  if (stringData === undefined || stringData === null) return object;
  const name = object.metadata.name;
  const data: Record<string, unknown> = isRecord(object["data"]) ? { ...object["data"] } : {};
  if (!isRecord(stringData)) {
    throw invalid(resource, name, "stringData", "must be a map of strings");
  }
  for (const [key, value] of Object.entries(stringData)) {
    if (typeof value !== "string") {
      throw invalid(resource, name, `stringData.${key}`, "must be a string");
    }
    data[key] = new TextEncoder().encode(value).toBase64();
  }
  return {
    ...rest,
    apiVersion: object.apiVersion,
    kind: object.kind,
    metadata: object.metadata,
    data,
  };
}
