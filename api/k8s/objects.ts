/** Kubernetes objects: their shape, the decoding of their metadata, and the bytes they are stored as. */
import * as v from "valibot";
import type { Bytes } from "../../backends/mod.ts";
import type { KeyValue } from "../../store/mod.ts";
import type { JsonSchema } from "./crd/json_schema.ts";
import { applyDefaults, prune } from "./crd/prune.ts";
import { invalidObject } from "./field_errors.ts";
import { isRecord } from "./plain.ts";
import { isLabelValue, isQualifiedName } from "./names.ts";
import { apiVersionOf, type ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";
import { cannotBeHandled } from "./strict.ts";

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** meta/v1 ManagedFieldsEntry. */
export interface ManagedFieldsEntry {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly time?: string;
  readonly fieldsType: "FieldsV1";
  readonly fieldsV1: Readonly<Record<string, unknown>>;
  readonly subresource?: string;
}

/** meta/v1 ObjectMeta, as far as it is kept. */
export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid: string;
  /** Never stored: it is the revision that stored it. */
  resourceVersion?: string;
  generation?: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: ManagedFieldsEntry[];
}

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** An object as a client sends it: metadata not yet filled in. */
export interface SubmittedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: v.InferOutput<typeof submittedMeta>;
  readonly [field: string]: unknown;
}

const optionalString = v.nullish(v.pipe(v.string(), v.maxLength(1024)));
const stringMap = v.nullish(v.record(v.string(), v.string()));

/** Every field of ObjectMeta, and no other; what the server sets is read only where it is a precondition. */
const submittedMeta = v.object({
  name: optionalString,
  generateName: optionalString,
  namespace: optionalString,
  selfLink: optionalString,
  uid: optionalString,
  resourceVersion: optionalString,
  generation: v.nullish(v.number()),
  creationTimestamp: optionalString,
  deletionTimestamp: optionalString,
  deletionGracePeriodSeconds: v.nullish(v.number()),
  labels: stringMap,
  annotations: stringMap,
  ownerReferences: v.nullish(v.array(v.object({
    apiVersion: v.string(),
    kind: v.string(),
    name: v.string(),
    uid: v.string(),
    controller: v.optional(v.boolean()),
    blockOwnerDeletion: v.optional(v.boolean()),
  }))),
  finalizers: v.nullish(v.array(v.string())),
  managedFields: v.nullish(v.array(v.unknown())),
});

const submittedObject = v.looseObject({
  apiVersion: v.string(),
  kind: v.string(),
  metadata: v.optional(v.nullable(submittedMeta), {}),
});

const MAX_ANNOTATION_BYTES = 256 * 1024;

/** @throws {StatusError} BadRequest naming the field; Invalid for labels and annotations. */
export function decodeSubmitted(value: unknown, resource: ResourceDefinition): SubmittedObject {
  const result = v.safeParse(submittedObject, typed(value, resource), { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const field = v.getDotPath(issue) ?? "";
    throw new StatusError(
      "BadRequest",
      cannotBeHandled(
        resource,
        `field "${field}": expected ${issue.expected ?? "another value"}, received ${
          issue.received.slice(0, 100)
        }`,
      ),
    );
  }
  const object = { ...result.output, metadata: result.output.metadata ?? {} };
  if (object.apiVersion !== apiVersionOf(resource) || object.kind !== resource.kind) {
    throw new StatusError(
      "BadRequest",
      `the object is of ${object.apiVersion}, Kind=${object.kind}, but the path is of ${
        apiVersionOf(resource)
      }, Kind=${resource.kind}`,
    );
  }
  checkMeta(object.metadata, resource);
  return object;
}

/** With what the path says where the document leaves it out; a custom object must say it itself. */
function typed(value: unknown, resource: ResourceDefinition): unknown {
  if (!isRecord(value)) return value;
  const lacks = (field: string) =>
    value[field] === undefined || value[field] === null || value[field] === "";
  if (!lacks("kind") && !lacks("apiVersion")) return value;
  if (resource.custom !== undefined) {
    const field = lacks("kind") ? "Kind" : "apiVersion";
    throw new StatusError("BadRequest", `Object '${field}' is missing`);
  }
  return {
    ...value,
    ...(lacks("apiVersion") ? { apiVersion: apiVersionOf(resource) } : {}),
    ...(lacks("kind") ? { kind: resource.kind } : {}),
  };
}

function checkMeta(meta: SubmittedObject["metadata"], resource: ResourceDefinition): void {
  const invalid = (field: string, message: string) =>
    invalidObject(resource, meta.name ?? "", [{ reason: "FieldValueInvalid", field, message }]);
  for (const [key, value] of Object.entries(meta.labels ?? {})) {
    if (!isQualifiedName(key)) throw invalid("metadata.labels", `${key}: not a qualified name`);
    if (!isLabelValue(value)) throw invalid("metadata.labels", `${key}: not a label value`);
  }
  let annotationBytes = 0;
  for (const [key, value] of Object.entries(meta.annotations ?? {})) {
    if (!isQualifiedName(key.toLowerCase())) {
      throw invalid("metadata.annotations", `${key}: not a qualified name`);
    }
    annotationBytes += key.length + value.length;
  }
  if (annotationBytes > MAX_ANNOTATION_BYTES) {
    throw invalid("metadata.annotations", `must be ${MAX_ANNOTATION_BYTES} bytes at most`);
  }
  for (const finalizer of meta.finalizers ?? []) {
    if (!isQualifiedName(finalizer)) {
      throw invalid("metadata.finalizers", `${finalizer}: not a qualified name`);
    }
  }
}

const encoder = new TextEncoder();
const RESOURCE_VERSION = encoder.encode('"resourceVersion":"');
const decoder = new TextDecoder();

/** What the served bytes of a kind begin with; the resource version is spliced in right after it. */
function servedPrefix(resource: ResourceDefinition): string {
  return `{"apiVersion":"${apiVersionOf(resource)}","kind":"${resource.kind}","metadata":{`;
}

/** Where in the served bytes of a kind the resource version goes. */
export function prefixLength(resource: ResourceDefinition): number {
  return servedPrefix(resource).length;
}

/** Bytes to store: as served, in the version that the kind is stored as. */
export function encodeStored(object: KubernetesObject, resource: ResourceDefinition): Bytes {
  const version = resource.custom?.storageVersion ?? resource.version;
  return encodeServed(object, isStoredAsServed(resource) ? resource : { ...resource, version });
}

/** Whether `encodeStored` gives what `encodeServed` gives. */
export function isStoredAsServed({ custom, version }: ResourceDefinition): boolean {
  return custom === undefined || custom.storageVersion === version;
}

/** JSON without the resource version, beginning with `servedPrefix`. */
export function encodeServed(object: KubernetesObject, resource: ResourceDefinition): Bytes {
  const { apiVersion: _, kind: __, metadata, ...rest } = object;
  const { resourceVersion: ___, ...meta } = metadata;
  // Written piece by piece: an object literal would put fields with integer names first.
  const fields = JSON.stringify(rest).slice(1, -1);
  const head = servedPrefix(resource) + JSON.stringify(meta).slice(1);
  return encoder.encode(fields === "" ? `${head}}` : `${head},${fields}}`);
}

/** Conversion `None`: another apiVersion, and what that version's schema takes away and fills in. */
function convertStored(stored: Bytes, resource: ResourceDefinition, schema: JsonSchema): Bytes {
  // Our own bytes: written by encodeStored, authenticated by the store.
  const object: KubernetesObject = JSON.parse(decoder.decode(stored));
  prune(object, schema, true);
  applyDefaults(object, schema);
  return encodeServed({ ...object, apiVersion: apiVersionOf(resource) }, resource);
}

/**
 * An object as it stands in the store. Most answers never parse it: the resource version is spliced
 * into the stored bytes.
 */
export class StoredObject {
  readonly resource: ResourceDefinition;
  /** The revision that last changed it: its resource version. */
  readonly revision: number;
  /** As served. */
  readonly #value: Bytes;
  #key: string | Bytes;
  #json: Bytes | undefined;

  constructor(
    resource: ResourceDefinition,
    key: string | Bytes,
    revision: number,
    value: Bytes,
  ) {
    this.resource = resource;
    this.#key = key;
    this.revision = revision;
    this.#value = value;
  }

  static of(resource: ResourceDefinition, kv: KeyValue): StoredObject {
    return StoredObject.read(resource, kv.key, kv.modRevision, kv.value);
  }

  /** Of bytes as they are stored: a custom object is converted to the version that is asked for. */
  static read(
    resource: ResourceDefinition,
    key: string | Bytes,
    revision: number,
    stored: Bytes,
  ): StoredObject {
    const { custom } = resource;
    const value = custom === undefined ? stored : convertStored(stored, resource, custom.schema);
    return new StoredObject(resource, key, revision, value);
  }

  /** Key in the `k8s` keyspace. */
  get key(): string {
    if (typeof this.#key !== "string") this.#key = decoder.decode(this.#key);
    return this.#key;
  }

  /** The bytes as served, without a resource version. */
  get stored(): Bytes {
    return this.#value;
  }

  /** Length of `json()` in bytes. */
  get jsonLength(): number {
    return this.#value.length + RESOURCE_VERSION.length + String(this.revision).length + 2;
  }

  /** The object as JSON with its resource version; made once, for all who watch it. */
  json(): Bytes {
    if (this.#json === undefined) {
      this.#json = new Uint8Array(this.jsonLength);
      this.writeJson(this.#json, 0, servedPrefix(this.resource).length);
    }
    return this.#json;
  }

  /**
   * Writes what `json()` gives at `offset`.
   *
   * @param head length of the kind's prefix, see `prefixLength`
   * @returns the offset after it.
   */
  writeJson(out: Uint8Array, offset: number, head: number): number {
    const value = this.#value;
    out.set(head === value.length ? value : value.subarray(0, head), offset);
    let at = offset + head;
    out.set(RESOURCE_VERSION, at);
    at += RESOURCE_VERSION.length;
    const digits = String(this.revision);
    for (let i = 0; i < digits.length; i++) out[at++] = digits.charCodeAt(i);
    out[at++] = 0x22; // quote
    out[at++] = 0x2c; // comma
    out.set(value.subarray(head), at);
    return at + value.length - head;
  }

  /** A fresh parsed copy, with its resource version. */
  parse(): KubernetesObject {
    // Our own bytes: written by encodeServed, authenticated by the store.
    const object: KubernetesObject = JSON.parse(decoder.decode(this.#value));
    object.metadata.resourceVersion = String(this.revision);
    return object;
  }
}
