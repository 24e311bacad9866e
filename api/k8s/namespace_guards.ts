/** That the namespace of a new object exists and is not going away, as a guard of its transaction. */
import type { Compare, Store } from "../../store/mod.ts";
import { notFound } from "./errors.ts";
import { objectKey } from "./keys.ts";
import { namespaceResource, unchanged } from "./plan.ts";
import { readObject } from "./read.ts";
import type { ResourceTable } from "./resources.ts";
import { StatusError } from "./status.ts";

/** Remembers what it found until anything in the keyspace changes. */
export class NamespaceGuards {
  readonly #store: Store;
  /** What `#found` was read at. */
  #revision = -1;
  readonly #found = new Map<string, Compare>();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Holds while the namespace stands as it was read.
   *
   * @throws {StatusError} NotFound; Forbidden while it terminates
   */
  async of(table: ResourceTable, namespace: string): Promise<Compare> {
    const revision = this.#store.revision("k8s");
    if (revision !== this.#revision) {
      this.#revision = revision;
      this.#found.clear();
    }
    const known = this.#found.get(namespace);
    if (known !== undefined) return known;
    const guard = await this.#read(table, namespace);
    if (revision === this.#revision) this.#found.set(namespace, guard);
    return guard;
  }

  async #read(table: ResourceTable, namespace: string): Promise<Compare> {
    const resource = namespaceResource(table);
    const found = await readObject(this.#store, resource, "", namespace);
    if (found === undefined) throw notFound(resource, namespace);
    if (found.parse().metadata.deletionTimestamp !== undefined) {
      throw new StatusError(
        "Forbidden",
        `unable to create new content in namespace ${namespace} because it is being terminated`,
        { details: { causes: [{ reason: "NamespaceTerminating", message: namespace }] } },
      );
    }
    return unchanged(objectKey(resource, "", namespace), found);
  }
}
