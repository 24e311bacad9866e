/** The keyring of an open store: what it shows, the secrets under it, and every change of it. */
import type { Bytes, Sealer } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import type { Commits } from "./commits.ts";
import { addDataKey, type ChangedKeyring, dataKeyUses, dropRetiredDataKeys } from "./data_keys.ts";
import type { IncarnationReason } from "./incarnation.ts";
import type { Incarnations } from "./incarnations.ts";
import { deriveKey } from "./kdf.ts";
import { addRecoveryWrap, type Keyring, wipeKeyring } from "./keyring.ts";
import type { KeyringWrap } from "./keyring_format.ts";
import type { RecordSealer } from "./record_sealer.ts";
import { withoutSuccessor, withSuccessor } from "./successor.ts";
import type { KeyStatus, SecretPurpose } from "./types.ts";
import type { Place, Writer } from "./writer.ts";

/** Secrets that stay with the store for good; the others are renewed by restore and recovery. */
const LASTING_SECRETS: ReadonlySet<SecretPurpose> = new Set<SecretPurpose>([
  "etcd-ca",
  "sui-signer",
  "audit",
]);

export interface KeyChangesParts {
  readonly keyring: Keyring;
  readonly aead: AeadProvider;
  readonly random: (length: number) => Bytes;
  /** What the KEK is sealed by. */
  readonly tee: Sealer | undefined;
  readonly sealer: RecordSealer;
  readonly incarnations: Incarnations;
  readonly writer: Writer;
  readonly commits: Commits;
  /** Records under one record key, and under one data key, before the next one is made. */
  readonly recordKeyLimit: number;
  readonly dataKeyLimit: number;
}

export class KeyChanges {
  readonly #parts: KeyChangesParts;
  #keyring: Keyring;
  #renewing: Promise<void> | undefined;

  constructor(parts: KeyChangesParts) {
    this.#parts = parts;
    this.#keyring = parts.keyring;
  }

  /** As it is from the next append on. */
  get keyring(): Keyring {
    return this.#keyring;
  }

  get activeDek(): number {
    return this.#keyring.activeDek;
  }

  /** Whether records may still need a data key that is not the active one. */
  get hasRetired(): boolean {
    return this.#keyring.deks.size > 1;
  }

  /** Whether the active data key has sealed as much as one may. */
  get isDataKeyDue(): boolean {
    return this.#uses().get(this.activeDek)! >= this.#parts.dataKeyLimit;
  }

  get isRecordKeyDue(): boolean {
    return this.#parts.sealer.uses >= this.#parts.recordKeyLimit;
  }

  secret(purpose: SecretPurpose): Bytes {
    const keyring = this.#keyring;
    const salt = LASTING_SECRETS.has(purpose)
      ? keyring.storeId
      : Uint8Array.fromHex(keyring.body.generation);
    return deriveKey(keyring.kek, salt, `secret/${purpose}`);
  }

  status(): Omit<KeyStatus, "rotation"> {
    const { body } = this.#keyring;
    const { sealer, recordKeyLimit, dataKeyLimit } = this.#parts;
    const uses = this.#uses();
    return {
      keyringVersion: body.version,
      wraps: body.wraps.map(shownWrap),
      deks: body.deks.map(({ id, state }) => ({ id, state, uses: uses.get(id)! })),
      dataKeyLimit,
      recordKey: { uses: sealer.uses, limit: recordKeyLimit },
    };
  }

  /** One more recovery key, durably. */
  addRecoveryKey(publicKey: Bytes): Promise<void> {
    return this.#change(() => addRecoveryWrap(this.#keyring, publicKey));
  }

  /** @throws {StoreError} `successor_unsupported`; {BackendError} `malformed` */
  async authorizeSuccessor(measurement: Bytes): Promise<void> {
    // Asked before it is in the writer's hands: what the TEE refuses is no failure of the store.
    await withSuccessor(this.#keyring, this.#parts.tee, measurement);
    await this.#change(() => withSuccessor(this.#keyring, this.#parts.tee, measurement));
  }

  async withdrawSuccessor(): Promise<boolean> {
    const isThere = (): boolean =>
      this.#keyring.body.wraps.some(({ type }) => type === "successor");
    if (!isThere()) return false;
    await this.#change(() => withoutSuccessor(this.#keyring));
    return true;
  }

  /** Before the record key has sealed too much, the next incarnation begins. One at a time. */
  renewIncarnation(): Promise<void> {
    this.#renewing ??= this.beginIncarnation("renew").finally(() => this.#renewing = undefined);
    return this.#renewing;
  }

  async beginIncarnation(
    reason: IncarnationReason,
    keyring?: { readonly version: number; readonly bytes: Bytes },
  ): Promise<void> {
    const { commits } = this.#parts;
    await this.#submit(async (place, publish, reject) => {
      const step = await this.#step(reason, this.activeDek, place);
      const parts = { ...step, publish, reject };
      return commits.of(place, keyring === undefined ? parts : { ...parts, keyring });
    });
  }

  /** The next data key, and an incarnation under it, in one append. Older records keep theirs. */
  async beginDataKey(): Promise<void> {
    const { commits, sealer, writer } = this.#parts;
    await this.#submit(async (place, publish, reject) => {
      const next = await addDataKey(this.#parts, this.#keyring, {
        sequence: place.sequence,
        position: place.position,
        records: writer.head.liveRecords,
      });
      const { activeDek, deks } = next.keyring;
      sealer.addDek(activeDek, deks.get(activeDek)!);
      const step = await this.#step("rotate", activeDek, place);
      return commits.of(place, { ...step, keyring: this.#take(next), publish, reject });
    });
  }

  /** Ends the retired data keys: in the keyring, durably, and then in memory. */
  async destroyRetired(): Promise<void> {
    const { commits, sealer } = this.#parts;
    await this.#submit((place, publish, reject) => {
      const { deks, activeDek } = this.#keyring;
      const keyring = this.#take(dropRetiredDataKeys(this.#keyring));
      return commits.of(place, {
        keyring,
        publish: () => {
          for (const [id, dek] of deks) {
            if (id === activeDek) continue;
            sealer.dropDek(id);
            dek.fill(0);
          }
          publish();
        },
        reject,
      });
    });
  }

  wipe(): void {
    wipeKeyring(this.#keyring);
  }

  /** @param make undefined: there is nothing to change any more */
  async #change(
    make: () => ChangedKeyring | undefined | Promise<ChangedKeyring | undefined>,
  ): Promise<void> {
    await this.#submit(async (place, publish, reject) => {
      const next = await make();
      const { commits } = this.#parts;
      if (next === undefined) return commits.of(place, { publish, reject });
      return commits.of(place, { keyring: this.#take(next), publish, reject });
    });
  }

  /** The keyring as it is from now on; its version and bytes go into the commit. */
  #take({ keyring, bytes }: ChangedKeyring): { readonly version: number; readonly bytes: Bytes } {
    this.#keyring = keyring;
    return { version: keyring.body.version, bytes };
  }

  async #step(reason: IncarnationReason, keyId: number, place: Place) {
    const { incarnations, sealer } = this.#parts;
    const { record, ...step } = await incarnations.begin(sealer, keyId, reason, place);
    return { ...step, records: [record] };
  }

  /** Resolves when the commit is durable. */
  #submit(
    prepare: (
      place: Place,
      publish: () => void,
      reject: (error: unknown) => void,
    ) => ReturnType<Commits["of"]> | Promise<ReturnType<Commits["of"]>>,
  ): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#parts.writer.submit({
        prepare: async (place) => ({ commit: await prepare(place, resolve, reject) }),
        reject,
      });
    });
  }

  #uses(): ReadonlyMap<number, number> {
    return dataKeyUses(this.#keyring.body.deks, this.#parts.writer.head);
  }
}

function shownWrap(wrap: KeyringWrap): KeyStatus["wraps"][number] {
  switch (wrap.type) {
    case "sealer":
      return { type: wrap.type, policy: wrap.policy };
    case "recovery":
      return { type: wrap.type, recipient: wrap.recipient };
    case "successor":
      return { type: wrap.type, measurement: wrap.measurement };
  }
}
