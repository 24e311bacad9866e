/** The key helper enclave as promises: calls in a Worker, each failure typed with the SDK's number. */
import { openWorkerChannel, type SpawnWorker } from "../ffi/worker_channel.ts";
import type { SgxPaths } from "../ffi/sgx_library.ts";
import { SGX_WORKER, type SgxAnswer, type SgxRequest } from "../ffi/sgx_worker.ts";
import { BackendError } from "../errors.ts";
import type { Bytes, SealPolicy } from "../mod.ts";
import { sgxFailure } from "./status.ts";

const POLICY_ID: Readonly<Record<SealPolicy, number>> = { measurement: 1, signer: 2 };

export interface SgxHelperOptions {
  readonly paths: SgxPaths;
  /** Absolute path of the signed enclave. */
  readonly enclave: string;
  readonly spawnWorker: SpawnWorker;
}

export interface SgxHelper extends AsyncDisposable {
  /** The enclave's report body on itself, 384 bytes. Only MACed: for what this enclave says it is. */
  report(): Promise<Bytes>;
  /** A DCAP quote. @param reportData 64 bytes */
  quote(reportData: Bytes): Promise<Bytes>;
  /** @throws {BackendError} `throttled`, `device_lost`, `firmware` */
  seal(policy: SealPolicy, plaintext: Bytes, aad: Bytes): Promise<Bytes>;
  /** @throws {BackendError} `tampered`, `malformed`, `foreign_device` besides those of seal */
  unseal(sealed: Bytes, aad: Bytes): Promise<Bytes>;
  /**
   * 32 bytes of the processor and the enclave (or its signer and product), the same after updates of
   * microcode and enclave version. @param label 32 bytes
   */
  deriveKey(policy: SealPolicy, label: Bytes): Promise<Bytes>;
}

/** @throws {BackendError} `unavailable` for libraries that cannot be loaded; what creating it answers */
export async function openSgxHelper(options: SgxHelperOptions): Promise<SgxHelper> {
  const { paths, enclave } = options;
  const channel = openWorkerChannel<SgxRequest, SgxAnswer>({
    kind: "SGX",
    subject: enclave,
    worker: options.spawnWorker(SGX_WORKER),
  });

  /** What is `transferred` is in one place at a time, and the Worker wipes it. */
  async function call(request: SgxRequest, ...transferred: Bytes[]): Promise<Bytes> {
    const { result } = await channel.send(request, transferred.map(({ buffer }) => buffer));
    if (result.status !== 0) throw sgxFailure(result);
    return result.data;
  }

  try {
    await call({ type: "open", paths, enclave });
  } catch (cause) {
    channel.abort();
    if (!(cause instanceof BackendError) || cause.code !== "io") throw cause;
    throw new BackendError("unavailable", `cannot load the SGX helper: ${cause.message}`, {
      kind: "SGX",
      cause,
      hint: "install libsgx-urts, libsgx-dcap-ql and this release's libnautilus_sgx.so",
    });
  }
  return {
    report: async () => (await call({ type: "report" })).slice(0, 384),
    quote: (reportData) => call({ type: "quote", reportData: reportData.slice() }),
    seal(policy, plaintext, aad) {
      const input = plaintext.slice();
      const request = { type: "seal", policy: POLICY_ID[policy], input, aad: aad.slice() } as const;
      return call(request, input);
    },
    unseal: (sealed, aad) => call({ type: "unseal", input: sealed.slice(), aad: aad.slice() }),
    deriveKey: (policy, label) =>
      call({ type: "derive", policy: POLICY_ID[policy], label: label.slice() }),
    [Symbol.asyncDispose]: () => channel.close({ type: "close" }),
  };
}
