/**
 * The open recovery request of a data directory: the ephemeral private key, sealed by the TEE that
 * made it, so that the process may end until the operator has answered.
 */
import * as v from "valibot";
import {
  BackendError,
  type Bytes,
  type SealedBlob,
  type Sealer,
  type SealPolicy,
} from "../../../backends/mod.ts";
import {
  decodeRecoveryRequest,
  recoveryReportData,
  type RecoveryRequest,
  StoreError,
} from "../../../store/mod.ts";
import { UsageError } from "../../command.ts";
import { replaceFile } from "../../files/written.ts";

const CONTEXT = new TextEncoder().encode("nautilus-tee/recovery-ephemeral/v1");

const SCHEMA = v.strictObject({
  v: v.literal(1),
  request: v.unknown(),
  /** The sealer's blob, base64. */
  sealed_key: v.pipe(v.string(), v.base64()),
});

export interface PendingRecovery {
  readonly request: RecoveryRequest;
  readonly sealedKey: SealedBlob;
}

export function pendingPath(dataDir: string): string {
  return `${dataDir}/recovery.pending`;
}

/** Seals and writes (0600); an earlier request is void from then on. */
export async function writePending(
  dataDir: string,
  request: RecoveryRequest,
  ephemeralPrivateKey: Bytes,
  { sealer, sealPolicy }: { readonly sealer: Sealer; readonly sealPolicy: SealPolicy },
): Promise<void> {
  const blob = await sealer.seal(ephemeralPrivateKey, sealPolicy, boundTo(request));
  const document = { v: 1, request, sealed_key: blob.toBase64() };
  await replaceFile(pendingPath(dataDir), JSON.stringify(document) + "\n");
}

/** @throws {UsageError} where there is none; {StoreError} `format` for what this program did not write */
export async function readPending(dataDir: string): Promise<PendingRecovery> {
  const path = pendingPath(dataDir);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound)) throw cause;
    throw new UsageError(
      `no recovery was asked for in ${dataDir}: \`nautilus key recovery-request --out FILE\` begins one`,
    );
  }
  try {
    const { request, sealed_key } = v.parse(SCHEMA, JSON.parse(text));
    return {
      request: decodeRecoveryRequest(request),
      sealedKey: Uint8Array.fromBase64(sealed_key),
    };
  } catch (cause) {
    throw new StoreError("format", `${path} is not what this program wrote`, {
      cause,
      hint: "make a new request and have it wrapped again",
    });
  }
}

/** The ephemeral private key, 32 bytes. @throws {StoreError} where this TEE did not make the request */
export async function unsealPending(pending: PendingRecovery, sealer: Sealer): Promise<Bytes> {
  try {
    return await sealer.unseal(pending.sealedKey, boundTo(pending.request));
  } catch (cause) {
    if (!(cause instanceof BackendError)) throw cause;
    throw new StoreError(
      "keyring_sealed_elsewhere",
      "the recovery request of this data directory does not open here: another machine or " +
        "another program made it, or it was altered",
      { cause, hint: "make a new request here and have it wrapped again" },
    );
  }
}

function boundTo(request: RecoveryRequest): Bytes {
  return new Uint8Array([...CONTEXT, ...recoveryReportData(request)]);
}
