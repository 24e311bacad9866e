/**
 * A store out of a backup: into a file of its own, then everything in it checked as it stands there,
 * then a new incarnation under a key ring that this TEE seals. Memory does not grow with the store.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { BackendError, type Bytes, type Sealer, type SealPolicy } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import { BackupCipher, type BackupHeader, type BackupReader, decodePart } from "./backup_format.ts";
import { equalBytes, release } from "./bytes.ts";
import { decodeEntry, KEYSPACES } from "./entry.ts";
import { StoreError } from "./errors.ts";
import { sealGroup } from "./group.ts";
import type { Head } from "./head.ts";
import { decodeIncarnation, encodeIncarnation, type IncarnationRecord } from "./incarnation.ts";
import { deriveKey } from "./kdf.ts";
import { type Keyring, openKeyring, renewKeyring, unlockKeyring, wipeKeyring } from "./keyring.ts";
import { decodeKeyring } from "./keyring_format.ts";
import { openHead } from "./load.ts";
import type { DurableLog, LogStart } from "./log.ts";
import { RestoreFile } from "./logs/restore_file.ts";
import { MultisetHash } from "./multiset.ts";
import { PlaceCheck } from "./place_check.ts";
import {
  HEADER_BYTES,
  ID_BYTES,
  RECORD_KIND,
  recordName,
  recordTag,
  RESTORE_HINT,
} from "./record.ts";
import { RecordSealer } from "./record_sealer.ts";
import type { BackupSummary } from "./types.ts";
import { sealHead } from "./writer.ts";

export interface RestoreOptions {
  /** Behind its header. */
  readonly reader: BackupReader;
  readonly header: BackupHeader;
  /** As `acceptRecovery` gave it; the caller wipes it. */
  readonly kek: Bytes;
  /** The file that is made; its folder is there. */
  readonly path: string;
  readonly aead: AeadProvider;
  /** Undefined: the TEE has no sealing key, the recovery keys stay the only way in. */
  readonly sealer: Sealer | undefined;
  readonly sealPolicy: SealPolicy;
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  /** Told how many bytes were read and how many records were checked; what it throws ends the restore. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly checked: number }) => void;
}

export interface RestoredStore extends BackupSummary {
  readonly storeId: Bytes;
  /** When the backup was taken, by the clock of the master that was. */
  readonly takenAtMs: number;
  /** Of the store that was backed up, oldest first. */
  readonly lineage: readonly IncarnationRecord[];
}

/**
 * Reads a backup into a new log, checks it whole, makes it this TEE's.
 * @throws {StoreError} `backup_altered`, `record_altered`, `record_missing`, `foreign_record`,
 * `head_mismatch`, `keyring_altered`, `format`, `io`: then the file at `path` is no store
 */
export async function restoreStore(options: RestoreOptions): Promise<RestoredStore> {
  const { reader, header, path, aead, kek } = options;
  using file = new RestoreFile(path);
  using cipher = await BackupCipher.of(aead, kek, header);
  for (;;) {
    const chunk = await reader.chunk();
    const plaintext = await cipher.open(chunk);
    release(chunk.sealed);
    const part = decodePart(plaintext, chunk.trailer !== undefined);
    file.add(part);
    options.onProgress?.({ bytes: reader.bytes, checked: 0 });
    if (part.end === undefined) {
      release(plaintext);
      continue;
    }
    await reader.end();
    const { head, keyring } = part.end;
    const made = await complete(
      options,
      file,
      head ?? new Uint8Array(0),
      keyring ?? new Uint8Array(0),
    );
    return { ...made, bytes: reader.bytes, takenAtMs: chunk.trailer?.timeMs ?? 0 };
  }
}

async function complete(
  options: RestoreOptions,
  file: RestoreFile,
  headRecord: Bytes,
  keyringBytes: Bytes,
): Promise<Omit<RestoredStore, "bytes" | "takenAtMs">> {
  const { aead, random, clock } = options;
  const keyring = await unlockKeyring({ aead }, keyringBytes, options.kek.slice());
  const sealer = new RecordSealer({
    storeId: keyring.storeId,
    aead,
    deks: keyring.deks,
    random,
  });
  const multiset = multisetOf(aead, keyring);
  try {
    const head = await openHead(sealer, headRecord);
    const lineage = await checkAll({
      file,
      sealer,
      multiset,
      head,
      keyring,
      onProgress(checked) {
        options.onProgress?.({ bytes: options.reader.bytes, checked });
      },
    });
    const renewed = await renewKeyring(options, options.sealPolicy, keyring);
    const { version } = renewed.keyring.body;
    const place = { sequence: head.sequence + 1, position: head.nextPosition };
    const incarnation = random(ID_BYTES);
    await sealer.begin(keyring.activeDek, incarnation);
    const plaintext = encodeIncarnation({
      reason: "restore",
      incarnation,
      previous: head.incarnation,
      previousSequence: head.sequence,
      timeMs: Math.max(0, Math.trunc(clock())),
    });
    const { revisions, compacted } = head;
    const group = await sealGroup(
      [{
        sequence: place.sequence,
        firstPosition: place.position,
        records: [{ kind: RECORD_KIND.incarnation, plaintext, onSealed: () => {} }],
        removals: () => [],
        revisions,
        compacted,
        publish: () => {},
        reject: () => {},
      }],
      sealer,
      multiset,
    );
    const next = await sealHead(sealer, {
      ...head,
      incarnation,
      sequence: place.sequence,
      nextPosition: place.position + 1,
      keyringVersion: version,
      sum: multiset.value(),
      previousHead: new Uint8Array(sha256(headRecord)),
      liveRecords: head.liveRecords + group.delta,
      // What the anchors of the store that was saw is newer, and other TEEs count on their own.
      anchorCounter: 0,
      anchoredBy: 0,
    });
    file.finish({
      head: next,
      keyring: renewed.bytes,
      position: place.position,
      record: group.bytes,
    });
    const [system = 0, k8s = 0, etcd = 0] = KEYSPACES.map((_, i) => revisions[i]);
    return {
      storeId: keyring.storeId,
      sequence: BigInt(head.sequence),
      revisions: { system, k8s, etcd },
      records: head.liveRecords,
      lineage,
    };
  } finally {
    sealer.close();
    multiset.close();
    wipeKeyring(keyring);
  }
}

/** Every record as it stands in the file: its place, its bytes, and all of them against the head. */
async function checkAll(parts: {
  readonly file: RestoreFile;
  readonly sealer: RecordSealer;
  readonly multiset: MultisetHash;
  readonly head: Head;
  readonly keyring: Keyring;
  readonly onProgress: (checked: number) => void;
}): Promise<IncarnationRecord[]> {
  const { file, sealer, multiset, head, keyring } = parts;
  const refuse = (what: string): never => {
    throw new StoreError("head_mismatch", what, { hint: RESTORE_HINT });
  };
  if (keyring.body.version !== head.keyringVersion) {
    refuse(
      `the key ring is version ${keyring.body.version}, the head names ${head.keyringVersion}`,
    );
  }
  const places = new PlaceCheck(head);
  const lineage: IncarnationRecord[] = [];
  let records = 0;
  for (const page of file.pages()) {
    let offset = 0;
    for (let i = 0; i < page.positions.length; i++) {
      const record = page.bytes.subarray(offset, offset + page.lengths[i]!);
      offset += page.lengths[i]!;
      const position = page.positions[i]!;
      const header = sealer.readHeader(record, position);
      places.next(position, header);
      const opened = sealer.open(record, header, position);
      const plaintext = opened instanceof Promise ? await opened : opened;
      multiset.add(record.subarray(0, HEADER_BYTES), recordTag(record));
      records++;
      if (header.kind === RECORD_KIND.entry) decodeEntry(plaintext, position);
      else if (header.kind === RECORD_KIND.incarnation) {
        lineage.push(decodeIncarnation(plaintext, recordName(position, header)));
      } else refuse(`${recordName(position, header)}: a record of its kind has no place here`);
      release(plaintext);
    }
    release(page.bytes);
    parts.onProgress(records);
    // Lets signals and timers in between.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  if (records !== head.liveRecords || !equalBytes(multiset.value(), head.sum)) {
    refuse(
      `${records} records stand in the backup, which are not the ${head.liveRecords} that its head ` +
        `at sequence ${head.sequence} stands for`,
    );
  }
  if (!equalBytes(lineage.at(-1)?.incarnation ?? new Uint8Array(0), head.incarnation)) {
    refuse("the head is of an incarnation that its log did not begin");
  }
  return lineage;
}

function multisetOf(aead: AeadProvider, { kek, storeId }: Keyring): MultisetHash {
  const key = deriveKey(kek, storeId, "multiset-hash", 64);
  const multiset = new MultisetHash(aead.importMacKey(key));
  key.fill(0);
  return multiset;
}

/** The store that stands where a backup is to be restored. */
export type StandingStore =
  | { readonly kind: "none" }
  /** Of this store id. */
  | { readonly kind: "same"; readonly head: Head }
  | { readonly kind: "other"; readonly storeId: Bytes }
  /** Of this store id, and this TEE does not open it: only the operator's answer tells how far it got. */
  | { readonly kind: "sealed" }
  | { readonly kind: "unreadable"; readonly reason: string };

/** What a standing store is looked at with. */
export type StandingKey =
  /** The KEK of a backup, 32 bytes; stays the caller's. */
  | { readonly kek: Bytes }
  /** This TEE's sealer, before anybody was asked for the KEK; `storeId` is the backup's. */
  | { readonly sealer: Sealer | undefined; readonly storeId: Bytes };

/** How far the store in a log got, as far as this key tells. Changes nothing. */
export async function standingStore(
  log: DurableLog,
  aead: AeadProvider,
  key: StandingKey,
): Promise<StandingStore> {
  try {
    const start = await log.start();
    if (start.empty && start.head === undefined && start.keyring === undefined) {
      return { kind: "none" };
    }
    return await openStanding(start, aead, key);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { kind: "unreadable", reason: error.message };
  }
}

async function openStanding(
  { head, keyring: bytes }: LogStart,
  aead: AeadProvider,
  key: StandingKey,
): Promise<StandingStore> {
  if (bytes === undefined) return { kind: "unreadable", reason: "its key ring is gone" };
  if (head === undefined) return { kind: "unreadable", reason: "its head is gone" };
  const storeId = Uint8Array.fromHex(decodeKeyring(bytes).body.store_id);
  if ("storeId" in key && !equalBytes(storeId, key.storeId)) return { kind: "other", storeId };
  const random = (): never => {
    throw new TypeError("nothing is sealed here");
  };
  let keyring: Keyring;
  try {
    keyring = "kek" in key
      ? await unlockKeyring({ aead }, bytes, key.kek.slice())
      : await openKeyring({ aead, sealer: key.sealer, random }, bytes);
  } catch (error) {
    const isSealed = error instanceof StoreError || error instanceof BackendError;
    if ("sealer" in key && isSealed) return { kind: "sealed" };
    if (!(error instanceof StoreError) || error.code !== "keyring_altered") throw error;
    return { kind: "other", storeId };
  }
  const sealer = new RecordSealer({ storeId, aead, deks: keyring.deks, random });
  try {
    return { kind: "same", head: await openHead(sealer, head) };
  } finally {
    sealer.close();
    wipeKeyring(keyring);
  }
}

/** Whether a restored store has everything that the standing one had. */
export function hasAllOf(restored: RestoredStore, { incarnation, sequence }: Head): boolean {
  const at = restored.lineage.findIndex((one) => equalBytes(one.incarnation, incarnation));
  if (at < 0) return false;
  const next = restored.lineage[at + 1];
  return sequence <= (next === undefined ? Number(restored.sequence) : next.previousSequence);
}
