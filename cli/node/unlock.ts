/**
 * A TEE without a sealing key (TDX) cannot open its store by itself: at every start it makes a key
 * pair in its memory, shows evidence that binds it, and waits until the operator's recovery key has
 * wrapped the store's key to it (`nautilus key rewrap`). The private half never leaves memory.
 */
import type { Logger } from "@logtape/logtape";
import { BackendError, type Bytes, type TeeBackend } from "../../backends/mod.ts";
import {
  acceptRecovery,
  createRecoveryRequest,
  decodeRecoveryResponse,
  recoveryRecipients,
  type RecoveryRequest,
  StoreError,
} from "../../store/mod.ts";
import { UsageError } from "../command.ts";
import type { OpenHost } from "./host.ts";
import { readDocument } from "../files/document.ts";
import { removeFile, replaceFile } from "../files/written.ts";

const POLL_MS = 500;

export interface UnlockOptions {
  readonly dataDir: string;
  readonly log: Logger;
  /** Ends the waiting. */
  readonly stopped: AbortSignal | undefined;
}

/** The request of a start that waits, and where its answer is looked for. */
export function unlockPaths(
  dataDir: string,
): { readonly request: string; readonly answer: string } {
  return { request: `${dataDir}/unlock.request.json`, answer: `${dataDir}/unlock.answer.json` };
}

/**
 * Asks for the KEK and waits for it. An answer that does not open is told, taken away, and waited
 * on: whoever can write there could as well end the process.
 * @returns 32 bytes; the caller wipes them
 * @throws {StoreError} where nobody can answer; {BackendError} from attesting; the signal's reason
 */
export async function awaitStoreKey(
  { tee, log: durable }: OpenHost,
  { dataDir, log, stopped }: UnlockOptions,
): Promise<RecoveredKey> {
  const { keyring } = await durable.start();
  if (keyring === undefined) {
    throw new StoreError("keyring_missing", `the store in ${dataDir} has no keyring`, {
      hint: "put the data directory back whole, all files of the database",
    });
  }
  const recipients = recoveryRecipients(keyring);
  if (recipients.length === 0) {
    throw new StoreError(
      "keyring_sealed_elsewhere",
      `${tee.kind} has no sealing key, and this store was made without a recovery key`,
      { hint: "only the TEE that sealed it can open it" },
    );
  }
  const paths = unlockPaths(dataDir);
  try {
    return await awaitAnswer({ tee, keyring, paths, log, stopped });
  } finally {
    await removeFile(paths.request);
    await removeFile(paths.answer);
  }
}

/** What the operator's answer brings. */
export interface RecoveredKey {
  /** 32 bytes; whoever gets it wipes it. */
  readonly kek: Bytes;
  /** The operator's consent that an anchor which is gone is let go. */
  readonly acceptLostAnchor: boolean;
}

export interface AwaitAnswerOptions {
  readonly tee: TeeBackend;
  /** Of the store that is to be opened. */
  readonly keyring: Bytes;
  readonly paths: { readonly request: string; readonly answer: string };
  readonly log: Logger;
  /** Ends the waiting. */
  readonly stopped: AbortSignal | undefined;
}

/**
 * Writes a request for the KEK and waits until its answer lies where it is looked for. The key that it
 * opens with never leaves memory.
 * @returns 32 bytes; the caller wipes them
 * @throws {BackendError} from attesting; the signal's reason
 */
export async function awaitAnswer(
  { tee, keyring, paths, log, stopped }: AwaitAnswerOptions,
): Promise<RecoveredKey> {
  if (tee.attester === undefined) {
    throw new BackendError("unavailable", `${tee.kind} gives no evidence`, { kind: tee.kind });
  }
  const { request, ephemeralPrivateKey } = await createRecoveryRequest(keyring, tee.attester);
  try {
    await removeFile(paths.answer); // to an earlier start: it cannot open
    await replaceFile(paths.request, JSON.stringify(request, null, 2) + "\n");
    log.warn(
      "waiting for the store's key: `nautilus key rewrap --request {request} --key FILE " +
        "--policy FILE --out {answer}`, run where the recovery key is",
      { ...paths, recipients: recoveryRecipients(keyring) },
    );
    for (;;) {
      const key = await tryAnswer(paths.answer, request, ephemeralPrivateKey, log);
      if (key !== undefined) return key;
      await pause(POLL_MS, stopped);
    }
  } finally {
    ephemeralPrivateKey.fill(0);
  }
}

async function tryAnswer(
  path: string,
  request: RecoveryRequest,
  privateKey: Bytes,
  log: Logger,
): Promise<RecoveredKey | undefined> {
  try {
    const response = await readDocument("answer", path, decodeRecoveryResponse);
    const kek = await acceptRecovery(request, response, privateKey);
    return { kek, acceptLostAnchor: response.accept_lost_anchor === true };
  } catch (error) {
    const { cause } = error instanceof Error ? error : { cause: undefined };
    if (error instanceof UsageError && cause instanceof Deno.errors.NotFound) return undefined;
    if (!(error instanceof UsageError) && !(error instanceof StoreError)) throw error;
    const because = cause instanceof Error ? `: ${cause.message}` : "";
    log.error("an answer was refused, the waiting goes on: {reason}", {
      reason: `${error.message}${because}`,
    });
    await removeFile(path);
    return undefined;
  }
}

/** @throws the signal's reason */
async function pause(ms: number, stopped: AbortSignal | undefined): Promise<void> {
  stopped?.throwIfAborted();
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const onAbort = (): void => resolve();
  stopped?.addEventListener("abort", onAbort, { once: true });
  await promise;
  clearTimeout(timer);
  stopped?.removeEventListener("abort", onAbort);
  stopped?.throwIfAborted();
}
