/**
 * Snapshots: a backup of the whole store (store/backup_format.ts), framed as etcd's clients check it:
 * zeros up to a multiple of 512 bytes, then the SHA-256 of all before. It is sealed to the recovery
 * keys and no bbolt file: `nautilus store restore` takes it, `etcdctl snapshot restore` cannot.
 */
import type { Bytes } from "../../backends/mod.ts";
import { EtcdFraming, type Store, StoreError } from "../../store/mod.ts";
import { CODE, GrpcError } from "./grpc/status.ts";

/** As etcd's own server slices it. */
const PART_BYTES = 256 * 1024;

export interface SnapshotPart {
  readonly remainingBytes: number;
  readonly blob: Bytes;
}

/**
 * The parts in order; together, without the last 32 bytes, a multiple of 512.
 * @throws {GrpcError} where the store has no recovery key; {StoreError}
 */
export async function* snapshotStream(store: Store): AsyncIterable<SnapshotPart> {
  const framing = new EtcdFraming();
  try {
    for await (const piece of store.backup(() => {})) {
      framing.add(piece);
      for (let at = 0; at < piece.length; at += PART_BYTES) {
        // The whole length is not known before the end; clients only show it.
        yield { remainingBytes: 0, blob: piece.subarray(at, at + PART_BYTES) };
      }
    }
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "no_recovery_key") throw error;
    throw new GrpcError(CODE.failedPrecondition, `etcdserver: ${error.message}; ${error.hint}`);
  }
  yield { remainingBytes: 0, blob: framing.end() };
}
