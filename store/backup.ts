/**
 * A backup of the running store: a copy of its log, checked while it is read, sealed once more as a
 * whole (backup_format.ts). What holds its records opens it: a recovery key, by the wraps in the key
 * ring. It stands for the store as of its end.
 */
import type { Bytes } from "../backends/mod.ts";
import type { AeadProvider } from "./aead.ts";
import {
  BackupCipher,
  type BackupTrailer,
  encodeBackupHeader,
  encodePart,
} from "./backup_format.ts";
import { release } from "./bytes.ts";
import { KEYSPACES } from "./entry.ts";
import { StoreError } from "./errors.ts";
import type { Head } from "./head.ts";
import type { Keyring } from "./keyring.ts";
import { decodeKeyring } from "./keyring_format.ts";
import { openHead } from "./load.ts";
import type { DurableLog, LogCopyPart, LogPage } from "./log.ts";
import { RESTORE_HINT } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import type { BackupSummary } from "./types.ts";

const SALT_BYTES = 32;

export interface BackupOptions {
  readonly log: DurableLog;
  readonly sealer: RecordSealer;
  readonly keyring: Keyring;
  readonly aead: AeadProvider;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** Called before the last bytes are given out. */
  readonly onEnd: (summary: BackupSummary) => void;
}

/**
 * The bytes of a backup, in pieces of some MiB.
 * @throws {StoreError} `no_recovery_key` where nobody could restore it; `record_altered`,
 * `record_missing`, `head_mismatch` where the disk lies; `io`
 */
export async function* backupStream(options: BackupOptions): AsyncGenerator<Bytes, void> {
  const { log, sealer, aead, random, clock } = options;
  const { kek, storeId, body } = options.keyring;
  if (!body.wraps.some((wrap) => wrap.type === "recovery")) {
    throw new StoreError(
      "no_recovery_key",
      "this store has no recovery key: a backup of it could never be restored",
      { hint: "give the master the operator's public key (--recovery-key) first" },
    );
  }
  const { keyring } = await log.start();
  if (keyring === undefined) throw new StoreError("keyring_missing", "the key ring is gone");
  const header = { storeId, salt: random(SALT_BYTES), keyring };
  using cipher = await BackupCipher.of(aead, kek, header);
  const start = encodeBackupHeader(header);
  yield start;
  let bytes = start.length;
  let records = 0;
  for await (const part of log.copy()) {
    await checkPage(sealer, part.changed);
    await checkPage(sealer, part.page);
    records += part.page.positions.length - part.removals.length;
    const { end } = part;
    if (end === undefined) {
      const chunk = await sealPart(cipher, part, undefined);
      bytes += chunk.length;
      yield chunk;
      continue;
    }
    const head = await checkEnd(sealer, end, records);
    const timeMs = Math.max(0, Math.trunc(clock()));
    const { sequence } = head;
    const chunk = await sealPart(cipher, part, { sequence, records, timeMs });
    bytes += chunk.length;
    const [system = 0, k8s = 0, etcd = 0] = KEYSPACES.map((_, i) => head.revisions[i]);
    options.onEnd({ sequence: BigInt(sequence), records, bytes, revisions: { system, k8s, etcd } });
    yield chunk;
    return;
  }
}

async function sealPart(
  cipher: BackupCipher,
  part: LogCopyPart,
  trailer: BackupTrailer | undefined,
): Promise<Bytes> {
  const plaintext = encodePart(part);
  release(part.page.bytes);
  release(part.changed.bytes);
  const chunk = await cipher.seal(plaintext, trailer);
  release(plaintext);
  return chunk;
}

/** A backup of records that do not open would be found out when it is needed. */
async function checkPage(sealer: RecordSealer, page: LogPage): Promise<void> {
  const waiting: Promise<unknown>[] = [];
  let offset = 0;
  for (let i = 0; i < page.positions.length; i++) {
    const record = page.bytes.subarray(offset, offset + page.lengths[i]!);
    offset += page.lengths[i]!;
    const position = page.positions[i]!;
    const header = sealer.readHeader(record, position);
    // Read before it was sealed anew under another data key: it is told once more.
    if (!sealer.opens(header)) continue;
    const opened = sealer.open(record, header, position);
    if (opened instanceof Promise) waiting.push(opened.then(release));
    else release(opened);
  }
  await Promise.all(waiting);
}

async function checkEnd(
  sealer: RecordSealer,
  { head: record, keyring }: {
    readonly head: Bytes | undefined;
    readonly keyring: Bytes | undefined;
  },
  records: number,
): Promise<Head> {
  if (record === undefined || keyring === undefined) {
    throw new StoreError("head_mismatch", "head or key ring are gone from the log", {
      hint: RESTORE_HINT,
    });
  }
  const head = await openHead(sealer, record);
  if (records !== head.liveRecords) {
    throw new StoreError(
      records < head.liveRecords ? "record_missing" : "head_mismatch",
      `${records} records stand in the log, the head at sequence ${head.sequence} knows ${head.liveRecords}`,
      { hint: RESTORE_HINT },
    );
  }
  const { version } = decodeKeyring(keyring).body;
  if (version !== head.keyringVersion) {
    throw new StoreError(
      "keyring_altered",
      `the key ring is version ${version}, the head names version ${head.keyringVersion}`,
      { hint: RESTORE_HINT },
    );
  }
  return head;
}
