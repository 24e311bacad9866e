/** Opening: keyring, head, every record checked, a new incarnation. */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Bytes, Sealer, SealPolicy } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import type { AnchorOptions } from "./anchor.ts";
import { CHUNK_FACTS } from "./checkpointer.ts";
import { KEYSPACE_COUNT } from "./entry.ts";
import { StoreError } from "./errors.ts";
import { Freshness } from "./freshness.ts";
import type { Head } from "./head.ts";
import { Incarnations } from "./incarnations.ts";
import { Index } from "./index.ts";
import { deriveKey } from "./kdf.ts";
import { FIRST_REVISION } from "./keyspace.ts";
import {
  createKeyring,
  type Keyring,
  openKeyring,
  renewKeyring,
  unlockKeyring,
  wipeKeyring,
} from "./keyring.ts";
import { type LoadedLog, loadLog, openHead } from "./load.ts";
import type { DurableLog } from "./log.ts";
import { MultisetHash, SUM_BYTES } from "./multiset.ts";
import { type Pacer, systemPacer } from "./pacer.ts";
import { ID_BYTES, RESTORE_HINT } from "./record.ts";
import { RecordSealer } from "./record_sealer.ts";
import { SealedStore } from "./store.ts";
import { inheritKeyring } from "./successor.ts";
import type { Store } from "./types.ts";
import { verifyRecords } from "./verify.ts";

const DEFAULT_CACHE_BYTES = 32 * 1024 * 1024;
const DEFAULT_RECORD_KEY_LIMIT = 2 ** 31;
const DEFAULT_DATA_KEY_LIMIT = 2 ** 40;
const DEFAULT_MAX_IN_FLIGHT = 1;
const AUTO_FULL_BYTES = 64 * 1024 * 1024;

export interface StoreOptions {
  /** The store owns it from here on and disposes it, also when opening is refused. */
  readonly log: DurableLog;
  readonly aead: AeadProvider;
  /**
   * Undefined where the TEE has no sealing key: a new store is then wrapped to its recovery keys
   * alone, and opens by `recover` only.
   */
  readonly sealer: Sealer | undefined;
  /** For a new store's key; one that exists keeps its own. */
  readonly sealPolicy: SealPolicy;
  /** Recovery public keys (32 bytes each) that a new store's key is wrapped to as well. */
  readonly recoveryKeys?: readonly Bytes[];
  /**
   * Opens a store whose TEE is gone: the KEK as `acceptRecovery` gave it. It is wrapped by `sealer`
   * from then on; identity, TLS and session keys are new.
   */
  readonly recover?: {
    readonly kek: Bytes;
    /** The operator's consent, from the same answer: as `anchors.acceptLost`. */
    readonly acceptLostAnchor?: boolean;
  };
  /** Milliseconds since the epoch. Only shown, never trusted. */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  readonly mode: "create-or-open" | "open";
  /** Reads only: no incarnation is begun and nothing on the medium changes. */
  readonly readOnly?: boolean;
  /** Plaintext values held in memory; 32 MiB by default. */
  readonly cacheBytes?: number;
  /** Records sealed under one record key before the next incarnation; at most 2^31. */
  readonly recordKeyLimit?: number;
  /** Records sealed under one data key, over all incarnations, before it is rotated; 2^40. */
  readonly dataKeyLimit?: number;
  /** Time for what makes room for others (rotation). */
  readonly pacer?: Pacer;
  /**
   * `full` authenticates every record before the store opens. `index` takes what the index
   * checkpoint knows, compares tags, and authenticates the rest behind the open store: a record
   * altered beneath its tag stops the store when it is read, by a caller or by that check.
   * `auto`, the default: full for a log below 64 MiB.
   */
  readonly verify?: "auto" | "full" | "index";
  /** Records that one chunk of the index checkpoint stands for; 512 by default. */
  readonly checkpointFacts?: number;
  /** Appends on their way to the log at once. */
  readonly maxInFlight?: number;
  /** What tells a rollback; without any, `stats().freshness.protection` is `none`. */
  readonly anchors?: AnchorOptions;
}

/**
 * Opens the store in a log, or makes one in an empty log.
 * @throws {StoreError} `keyring_missing`, `keyring_altered`, `keyring_sealed_elsewhere`,
 * `foreign_record`, `record_altered`, `record_missing`, `head_mismatch`, `rollback`, `format`,
 * `io`, `anchor_conflict`; then nothing on the medium was changed.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  let store: SealedStore;
  try {
    store = await openParts(options);
  } catch (error) {
    await options.log[Symbol.asyncDispose]();
    throw error;
  }
  return store;
}

async function openParts(options: StoreOptions): Promise<SealedStore> {
  const { log, aead, random } = options;
  if (options.recover !== undefined && options.readOnly === true) {
    throw new StoreError("invalid_request", "recover: a store cannot be recovered read-only");
  }
  const start = await log.start();
  if (start.head === undefined && start.keyring === undefined && start.empty) {
    if (options.mode === "open" || options.readOnly === true) {
      throw new StoreError("keyring_missing", "there is no store here", {
        hint: "check the data directory; `serve` makes a new store where there is none",
      });
    }
    const made = await createKeyring(options, options.sealPolicy, options.recoveryKeys);
    return await assemble(options, made.keyring, {
      reason: "create",
      head: emptyHead(),
      headHash: new Uint8Array(32),
      keyringVersion: made.keyring.body.version,
      newKeyring: { version: made.keyring.body.version, bytes: made.bytes },
    });
  }
  if (start.keyring === undefined) {
    throw new StoreError("keyring_missing", "records are here, but no keyring", {
      hint: "put the keyring back with the rest of its data directory, or restore a backup",
    });
  }
  const opened = options.recover === undefined
    ? await openKeyring({ aead, random, sealer: options.sealer }, start.keyring)
    : { ...await unlockKeyring({ aead }, start.keyring, options.recover.kek.slice()) };
  const version = opened.body.version;
  const inherits = "isSuccessor" in opened && opened.isSuccessor && options.readOnly !== true;
  const renewed = options.recover !== undefined
    ? await renewKeyring(options, options.sealPolicy, opened)
    : inherits
    ? await inheritKeyring(opened, options.sealer, options.sealPolicy)
    : undefined;
  const keyring = renewed?.keyring ?? opened;
  if (start.head === undefined) {
    wipeKeyring(keyring);
    throw new StoreError("head_mismatch", "the head is missing: it was removed from the log", {
      hint: RESTORE_HINT,
    });
  }
  return await assemble(options, keyring, {
    reason: options.recover !== undefined ? "recover" : inherits ? "reseal" : "open",
    head: start.head,
    headHash: new Uint8Array(sha256(start.head)),
    keyringVersion: version,
    newKeyring: renewed && { version: renewed.keyring.body.version, bytes: renewed.bytes },
  });
}

async function assemble(
  options: StoreOptions,
  keyring: Keyring,
  start: {
    readonly reason: "create" | "open" | "recover" | "reseal";
    /** A record to open, or the state of an empty store. */
    readonly head: Bytes | Head;
    readonly headHash: Bytes;
    /** Of the keyring as it stands in the log. */
    readonly keyringVersion: number;
    readonly newKeyring: { readonly version: number; readonly bytes: Bytes } | undefined;
  },
): Promise<SealedStore> {
  const { log, aead, random } = options;
  const readOnly = options.readOnly === true;
  const sealer = new RecordSealer({
    storeId: keyring.storeId,
    aead,
    deks: keyring.deks,
    random,
  });
  const sumKey = deriveKey(keyring.kek, keyring.storeId, "multiset-hash", 64);
  const multiset = new MultisetHash(aead.importMacKey(sumKey));
  sumKey.fill(0);
  const freshness = new Freshness(
    keyring.storeId,
    deriveKey(keyring.kek, keyring.storeId, "anchor"),
    {
      ...options.anchors,
      acceptLost: options.anchors?.acceptLost === true ||
        options.recover?.acceptLostAnchor === true,
    },
  );
  try {
    const index = new Index(options.cacheBytes ?? DEFAULT_CACHE_BYTES);
    let head: Head;
    let verified = true;
    let loaded: LoadedLog = { incarnations: [], garbage: [], chunks: [], tail: [] };
    if (start.head instanceof Uint8Array) {
      head = await openHead(sealer, start.head);
      if (head.keyringVersion !== start.keyringVersion) {
        throw new StoreError(
          "keyring_altered",
          `the keyring is version ${start.keyringVersion}, the head at sequence ${head.sequence} names version ${head.keyringVersion}`,
          { hint: "an older or newer keyring was put in its place; put back the one that fits" },
        );
      }
      loaded = await loadLog({ log, sealer, multiset, index, head });
      verified = loaded.chunks.length === 0 || await isFull(options);
      if (verified && loaded.chunks.length > 0) await verifyRecords(log, sealer);
      await freshness.verify(head, loaded.incarnations, options.recover !== undefined);
      if (readOnly) await sealer.begin(keyring.activeDek, head.incarnation);
    } else {
      head = start.head;
      await freshness.verify(undefined, []);
    }
    const store = new SealedStore({
      log,
      aead,
      keyring,
      sealer,
      multiset,
      index,
      head,
      headHash: start.headHash,
      incarnations: new Incarnations({
        live: loaded.incarnations,
        clock: options.clock,
        random,
      }),
      loaded,
      readOnly,
      maxInFlight: options.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT,
      random,
      clock: options.clock,
      tee: options.sealer,
      pacer: options.pacer ?? systemPacer,
      recordKeyLimit: options.recordKeyLimit ?? DEFAULT_RECORD_KEY_LIMIT,
      dataKeyLimit: options.dataKeyLimit ?? DEFAULT_DATA_KEY_LIMIT,
      chunkFacts: options.checkpointFacts ?? CHUNK_FACTS,
      newKeyring: start.newKeyring,
      freshness,
    });
    if (!verified) store.verifyBehind();
    if (!readOnly) await store.begin(start.reason);
    return store;
  } catch (error) {
    sealer.close();
    multiset.close();
    freshness.close();
    wipeKeyring(keyring);
    throw error;
  }
}

async function isFull(options: StoreOptions): Promise<boolean> {
  const { verify = "auto", log } = options;
  return verify === "full" || (verify === "auto" && (await log.size()).bytes < AUTO_FULL_BYTES);
}

function emptyHead(): Head {
  const zeros = () => Array.from({ length: KEYSPACE_COUNT }, () => 0);
  return {
    incarnation: new Uint8Array(ID_BYTES),
    sequence: 0,
    nextPosition: 0,
    keyringVersion: 0,
    sum: new Uint8Array(SUM_BYTES),
    previousHead: new Uint8Array(32),
    revisions: zeros().map(() => FIRST_REVISION),
    compacted: zeros(),
    liveRecords: 0,
    anchorCounter: 0,
    anchoredBy: 0,
  };
}
