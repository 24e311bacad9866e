/** What is asked of the Kubernetes service, by HTTP and by the chain alike, and what it answers. */
import type { Compare, Operation } from "../../store/mod.ts";
import type { User, Verb } from "./authorize.ts";
import type { Duplicates } from "./decode.ts";
import type { KubernetesObject, StoredObject } from "./objects.ts";
import type { ResourceDefinition } from "./resources.ts";
import type { Status } from "./status.ts";
import type { FieldValidation } from "./strict.ts";

export interface K8sRequest {
  readonly user: User;
  readonly verb: Verb;
  /** "" is the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly subresource?: "status" | "scale";
  /** "" for the whole cluster. */
  readonly namespace: string;
  /** "" for a collection. */
  readonly name: string;
  /** The decoded document: the object, delete options, or a patch. Checked by the service. */
  readonly body?: unknown;
  /** Fields that stand twice in the body as it was sent. */
  readonly duplicates?: Duplicates;
  /** For verb `patch`: what makes the next object out of the current one. */
  readonly patch?: Patch;
  readonly options?: RequestOptions;
  /** Takes what goes into `Warning` headers; may be told the same twice. */
  readonly warn?: (text: string) => void;
}

export type Patch = ChangePatch | ApplyPatch;

/** Makes the next object; throws StatusError where the patch does not fit. */
export interface ChangePatch {
  readonly kind: "change";
  /** What strict decoding says of the patch itself, in the API server's words. */
  readonly problems: readonly string[];
  apply(current: KubernetesObject, resource: ResourceDefinition): unknown;
}

/** Server-side apply: the configuration as it was sent. Creates what is not there. */
export interface ApplyPatch {
  readonly kind: "apply";
  readonly config: unknown;
  readonly duplicates?: Duplicates;
  readonly manager: string;
  /** Takes fields from whoever holds them. */
  readonly force: boolean;
}

export interface RequestOptions {
  readonly dryRun?: boolean;
  /** Who holds the fields that are written; undefined: nobody, as for writes of our own. */
  readonly fieldManager?: string;
  /** What becomes of unknown and duplicate fields beside being dropped; undefined: nothing. */
  readonly fieldValidation?: FieldValidation;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continueToken?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
}

/** What a write did, in the words of the first implementation. */
export interface ChangeRecord {
  readonly status: "created" | "updated" | "deleted";
  /** Key in the `k8s` keyspace. */
  readonly key: string;
}

export interface ListOutcome {
  readonly kind: "list";
  readonly code: 200;
  readonly resource: ResourceDefinition;
  readonly items: readonly StoredObject[];
  readonly revision: number;
  readonly continueToken?: string;
  readonly remaining?: number;
}

export type K8sOutcome =
  | {
    readonly kind: "object";
    readonly code: 200 | 201;
    readonly object: StoredObject;
    readonly change?: ChangeRecord;
  }
  | {
    readonly kind: "status";
    readonly code: 200;
    readonly status: Status;
    readonly change?: ChangeRecord;
  }
  | {
    /** Made from an object, not stored as such: a Scale. */
    readonly kind: "document";
    readonly code: 200;
    readonly document: KubernetesObject;
    readonly change?: ChangeRecord;
  }
  | ListOutcome;

/** What a request comes to: an answer, or guards and operations for one transaction. */
export type Planned =
  | { readonly kind: "done"; readonly outcome: K8sOutcome }
  | {
    readonly kind: "write";
    readonly compare: readonly Compare[];
    readonly operations: readonly Operation[];
    /** @param revision of the `k8s` keyspace after the transaction. */
    outcome(revision: number): K8sOutcome;
  };
