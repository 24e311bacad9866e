/** Our TA's commands as promises: replies checked, nothing of a session but this. */
import { BackendError, type Bytes } from "../mod.ts";
import { LIBTEEC_NAMES } from "../ffi/libteec_symbols.ts";
import { TEEC_WORKER, type TeecAnswer, type TeecRequest } from "../ffi/teec_worker.ts";
import { openWorkerChannel, type SpawnWorker, type WorkerChannel } from "../ffi/worker_channel.ts";
import {
  COMMAND,
  INFO_LENGTH,
  KEY_ID_LENGTH,
  MAX_EVIDENCE_LENGTH,
  parseInfo,
  POLICY_MEASUREMENT,
  SEALED_OVERHEAD,
  TA_UUID,
  type TaInfo,
} from "./ta_abi.ts";
import { teecError } from "./teec_errors.ts";

const KIND = "TrustZone";
const NONE: Bytes = new Uint8Array(0);

export interface TaClient extends AsyncDisposable {
  readonly info: TaInfo;
  /** 16 bytes: the public name of the key under policy `measurement` on this device. */
  readonly keyId: Bytes;
  /** @throws {BackendError} what teec_errors.ts says; `io` where the library broke its contract */
  seal(plaintext: Bytes, aad: Bytes): Promise<Bytes>;
  unseal(sealed: Bytes, aad: Bytes): Promise<Bytes>;
  /** Evidence, not parsed. */
  attest(reportData: Bytes): Promise<Bytes>;
}

type Channel = WorkerChannel<TeecRequest, TeecAnswer>;

async function load(options: TaClientOptions): Promise<Channel> {
  const channel = openWorkerChannel<TeecRequest, TeecAnswer>({
    kind: KIND,
    subject: "libteec",
    worker: options.spawnWorker(TEEC_WORKER),
  });
  try {
    const libraries = options.library === undefined ? LIBTEEC_NAMES : [options.library];
    await channel.send({ type: "load", libraries });
    return channel;
  } catch (cause) {
    channel.abort();
    throw new BackendError(
      "unavailable",
      `cannot load libteec: ${cause instanceof Error ? cause.message : String(cause)}`,
      { kind: KIND, cause, hint: "install the TEE client library (Debian: libteec2)" },
    );
  }
}

async function invoke(
  channel: Channel,
  name: keyof typeof COMMAND,
  inputs: readonly [Bytes, Bytes],
  capacity: number,
): Promise<Bytes> {
  const value = name === "seal" || name === "keyId" ? POLICY_MEASUREMENT : undefined;
  const owned = [inputs[0].slice(), inputs[1].slice()] as const;
  const { result } = await channel.send(
    { type: "invoke", command: COMMAND[name], inputs: owned, value, capacity },
    owned.map(({ buffer }) => buffer),
  );
  if (result.result !== 0) throw teecError("command", `the TA, ${name}`, result);
  return result.data;
}

function exactly(bytes: Bytes, length: number, what: string): Bytes {
  if (bytes.length === length) return bytes;
  bytes.fill(0);
  throw new BackendError("malformed", `${what} is ${bytes.length} bytes, ${length} are wanted`, {
    kind: KIND,
  });
}

export interface TaClientOptions {
  readonly spawnWorker: SpawnWorker;
  /** Absolute path; undefined: the usual names. */
  readonly library: string | undefined;
  /** The TEE's name for libteec; undefined: the first there is. */
  readonly tee: string | undefined;
}

/**
 * Opens a session with the TA and has it say what it is.
 *
 * @throws {BackendError} `unavailable`, `state_invalid` where a newer TA ran here, `malformed`
 */
export async function openTaClient(options: TaClientOptions): Promise<TaClient> {
  const channel = await load(options);
  try {
    const { result } = await channel.send({ type: "open", tee: options.tee, uuid: TA_UUID });
    if (result.result !== 0) {
      const call = result.origin === 0 ? "connect" : "open";
      throw teecError(call, call === "connect" ? "connecting" : "opening a session", result);
    }
    const info = parseInfo(await invoke(channel, "info", [NONE, NONE], INFO_LENGTH));
    if (info.uuid !== TA_UUID) {
      throw new BackendError("malformed", `TA ${info.uuid} answers for ${TA_UUID}`, { kind: KIND });
    }
    const keyId = await invoke(channel, "keyId", [NONE, NONE], KEY_ID_LENGTH);
    return client(channel, info, exactly(keyId, KEY_ID_LENGTH, "the key's name"));
  } catch (error) {
    await channel.close({ type: "close" });
    throw error;
  }
}

function client(channel: Channel, info: TaInfo, keyId: Bytes): TaClient {
  return {
    info,
    keyId,
    async seal(plaintext, aad) {
      const length = plaintext.length + SEALED_OVERHEAD;
      return exactly(
        await invoke(channel, "seal", [plaintext, aad], length),
        length,
        "sealed data",
      );
    },
    async unseal(sealed, aad) {
      const length = Math.max(0, sealed.length - SEALED_OVERHEAD);
      const plaintext = await invoke(channel, "unseal", [sealed, aad], Math.max(1, length));
      return exactly(plaintext, length, "unsealed data");
    },
    attest: (reportData) => invoke(channel, "attest", [reportData, NONE], MAX_EVIDENCE_LENGTH),
    [Symbol.asyncDispose]: () => channel.close({ type: "close" }),
  };
}
