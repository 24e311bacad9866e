/** Alarms that are raised, kept in the store so that a restart does not forget a full disk. */
import type { Bytes } from "../../backends/mod.ts";
import type { Store } from "../../store/mod.ts";
import { ALARM } from "./messages.ts";

const RECORD_KEY: Bytes = new TextEncoder().encode("etcd/alarms");

export class AlarmStore {
  readonly #store: Store;
  readonly #active: Set<number>;

  private constructor(store: Store, active: Set<number>) {
    this.#store = store;
    this.#active = active;
  }

  static async open(store: Store): Promise<AlarmStore> {
    const { kvs } = await store.range("system", { key: RECORD_KEY });
    return new AlarmStore(store, new Set(kvs[0]?.value ?? []));
  }

  active(alarm: number): boolean {
    return this.#active.has(alarm);
  }

  /** In the order of their numbers. */
  list(): readonly number[] {
    return [...this.#active].sort((a, b) => a - b);
  }

  async activate(alarm: number): Promise<void> {
    if (this.#active.has(alarm)) return;
    this.#active.add(alarm);
    await this.#save();
  }

  async deactivate(alarm: number): Promise<void> {
    if (this.#active.delete(alarm)) await this.#save();
  }

  async #save(): Promise<void> {
    const value = Uint8Array.from(this.list().filter((alarm) => alarm !== ALARM.none));
    await this.#store.txn({
      compare: [],
      success: [{ type: "put", keyspace: "system", key: RECORD_KEY, value }],
      failure: [],
    });
  }
}
