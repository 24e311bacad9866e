/** The kinds that the stored definitions define, beside the fixed ones. */
import type { KeyValue, Store } from "../../../store/mod.ts";
import type { FieldError } from "../field_errors.ts";
import { collectionPrefix, decodeKey, prefixRange } from "../keys.ts";
import { type KubernetesObject, StoredObject } from "../objects.ts";
import { isRecord } from "../plain.ts";
import { createResourceTable, type ResourceDefinition, type ResourceTable } from "../resources.ts";
import {
  decodeDefinition,
  decodeNames,
  type DefinedNames,
  type DefinedVersion,
  type Definition,
} from "./definition.ts";
import { compareVersions, type Condition } from "./names.ts";

const GROUP = "apiextensions.k8s.io";

/** The kind of definitions. @throws {TypeError} if the table has none. */
export function definitionResource(table: ResourceTable): ResourceDefinition {
  const resource = table.byPlural(GROUP, "v1", "customresourcedefinitions");
  if (resource === undefined) throw new TypeError("the resource table has no definitions");
  return resource;
}

export function isDefinition(resource: ResourceDefinition): boolean {
  return resource.group === GROUP && resource.plural === "customresourcedefinitions";
}

/** `status` of a definition; our own bytes, but a client may have written to /status. */
export function definitionStatus(object: KubernetesObject): {
  readonly conditions: readonly Condition[];
  readonly acceptedNames: DefinedNames;
  readonly storedVersions: readonly string[];
} {
  const status = isRecord(object["status"]) ? object["status"] : {};
  const conditions = Array.isArray(status["conditions"]) ? status["conditions"] : [];
  const stored = Array.isArray(status["storedVersions"]) ? status["storedVersions"] : [];
  return {
    conditions: conditions.filter(isCondition),
    acceptedNames: decodeNames(status["acceptedNames"]),
    storedVersions: stored.filter((version) => typeof version === "string"),
  };
}

function isCondition(value: unknown): value is Condition {
  return isRecord(value) &&
    ["type", "status", "lastTransitionTime", "reason", "message"].every((field) =>
      typeof value[field] === "string"
    );
}

/** What one stored definition adds to the table; nothing until it is established. */
function kindsOf(
  stored: StoredObject,
  definitionOf: (object: KubernetesObject) => Definition | undefined,
): ResourceDefinition[] {
  const object = stored.parse();
  const { conditions, acceptedNames } = definitionStatus(object);
  if (!conditions.some(({ type, status }) => type === "Established" && status === "True")) {
    return [];
  }
  const definition = definitionOf(object);
  if (definition === undefined) return [];
  const storage = definition.versions.find((version) => version.storage);
  if (storage === undefined) return [];
  const served = definition.versions.filter((version) => version.served)
    .toSorted((a, b) => compareVersions(a.name, b.name));
  return served.map((version): ResourceDefinition => ({
    group: definition.group,
    version: version.name,
    kind: acceptedNames.kind,
    plural: acceptedNames.plural,
    singular: acceptedNames.singular,
    shortNames: acceptedNames.shortNames,
    categories: acceptedNames.categories,
    namespaced: definition.scope === "Namespaced",
    nameRule: "subdomain",
    hasStatus: version.hasStatus,
    custom: {
      schema: version.schema,
      rules: version.rules,
      published: version.published,
      listKind: acceptedNames.listKind,
      storageVersion: storage.name,
      warning: warningOf(definition.group, acceptedNames.kind, version, served),
      columns: version.columns,
      scale: version.scale,
      selectableFields: version.selectableFields,
      terminating: object.metadata.deletionTimestamp !== undefined,
      definition: { key: stored.key, revision: stored.revision },
    },
  }));
}

/** A definition as compiled: whatever changes its spec changes its generation. */
interface CompiledDefinition {
  readonly uid: string;
  readonly generation: number | undefined;
  readonly definition: Definition | undefined;
}

/** Undefined for one that an older release let through: it is not served, fail closed. */
function compile(object: KubernetesObject): Definition | undefined {
  const errors: FieldError[] = [];
  const definition = decodeDefinition(object, errors);
  return errors.length > 0 ? undefined : definition;
}

function warningOf(
  group: string,
  kind: string,
  version: DefinedVersion,
  served: readonly DefinedVersion[],
): string | undefined {
  if (!version.deprecated) return undefined;
  if (version.deprecationWarning !== undefined) return version.deprecationWarning;
  const better = served.find((other) =>
    !other.deprecated && compareVersions(other.name, version.name) < 0
  );
  const text = `${group}/${version.name} ${kind} is deprecated`;
  return better === undefined ? text : `${text}; use ${group}/${better.name} ${kind}`;
}

/** The table as it is now. Definitions are read when one of them changed, and compiled once. */
export class Kinds {
  readonly #store: Store;
  readonly #fixed: ResourceTable;
  readonly #definitions: ResourceDefinition;
  #revision = -1;
  #seen = "";
  #table: ResourceTable;
  /** By the keys of the definitions that there are. */
  #compiled: ReadonlyMap<string, CompiledDefinition> = new Map();

  constructor(store: Store, fixed: ResourceTable) {
    this.#store = store;
    this.#fixed = fixed;
    this.#definitions = definitionResource(fixed);
    this.#table = fixed;
  }

  /** The kinds that are always there. */
  get fixed(): ResourceTable {
    return this.#fixed;
  }

  async current(): Promise<ResourceTable> {
    const revision = this.#store.revision("k8s");
    if (revision === this.#revision) return this.#table;
    const range = prefixRange(collectionPrefix(this.#definitions, ""));
    const { kvs } = await this.#store.range("k8s", { ...range, keysOnly: true });
    if (marks(kvs) !== this.#seen) {
      const full = await this.#store.range("k8s", range);
      this.#table = this.#compile(full.kvs);
      this.#seen = marks(full.kvs);
    }
    this.#revision = revision;
    return this.#table;
  }

  /** The kind at a path; the fixed ones without a look at the store. */
  async byPlural(
    group: string,
    version: string,
    plural: string,
  ): Promise<ResourceDefinition | undefined> {
    return this.#fixed.byPlural(group, version, plural) ??
      (await this.current()).byPlural(group, version, plural);
  }

  #compile(kvs: readonly KeyValue[]): ResourceTable {
    const before = new Map<string, ResourceDefinition[]>();
    for (const resource of this.#table.all()) {
      if (resource.custom === undefined) continue;
      const { key, revision } = resource.custom.definition;
      const mark = `${key}@${revision}`;
      before.set(mark, [...before.get(mark) ?? [], resource]);
    }
    const taken = new Set(this.#fixed.all().map(({ group }) => group));
    const compiled = new Map<string, CompiledDefinition>();
    const custom = kvs.flatMap((kv) => {
      const key = decodeKey(kv.key);
      const old = this.#compiled.get(key);
      const kept = before.get(marks([kv]));
      if (kept !== undefined) {
        if (old !== undefined) compiled.set(key, old);
        return kept;
      }
      const stored = StoredObject.of(this.#definitions, kv);
      return kindsOf(stored, (object) => {
        const { uid, generation } = object.metadata;
        const isSame = old !== undefined && old.uid === uid && old.generation === generation;
        const next = isSame ? old : { uid, generation, definition: compile(object) };
        compiled.set(key, next);
        return next.definition;
      });
    });
    this.#compiled = compiled;
    return createResourceTable([
      ...this.#fixed.all(),
      // Never in a group of ours, whatever the store says: its objects would lie among ours.
      ...custom.filter(({ group }) => !taken.has(group)),
    ]);
  }
}

function marks(kvs: readonly KeyValue[]): string {
  return kvs.map((kv) => `${decodeKey(kv.key)}@${kv.modRevision}`).join("\n");
}
