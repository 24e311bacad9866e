/**
 * One enclave in a Worker. Calls are synchronous, one after the other, so an enclave that was lost
 * (suspend, live migration) is made anew by the call that found out, once, and every call behind it
 * meets the new one.
 */
import { serveLibrary } from "./library_worker.ts";
import {
  loadSgxLibrary,
  SGX_LENGTH,
  SgxContractError,
  type SgxLibrary,
  type SgxPaths,
  type SgxResult,
} from "./sgx_library.ts";

/** The name that the program's Worker dispatch knows this Worker by. */
export const SGX_WORKER = "nautilus-sgx";

type Bytes = Uint8Array<ArrayBuffer>;

/** To the Worker. Byte strings are transferred. */
export type SgxRequest =
  | { readonly type: "open"; readonly paths: SgxPaths; readonly enclave: string }
  /** The enclave's report on itself, 432 bytes. */
  | { readonly type: "report" }
  /** A DCAP quote over 64 bytes. */
  | { readonly type: "quote"; readonly reportData: Bytes }
  | { readonly type: "seal"; readonly policy: number; readonly input: Bytes; readonly aad: Bytes }
  | { readonly type: "unseal"; readonly input: Bytes; readonly aad: Bytes }
  | { readonly type: "derive"; readonly policy: number; readonly label: Bytes }
  | { readonly type: "close" };

export interface SgxAnswer {
  readonly result: SgxResult;
}

const SGX_ERROR_ENCLAVE_LOST = 0x0004;
const SGX_ERROR_ENCLAVE_CRASHED = 0x1006;
const SGX_QL_ENCLAVE_LOST = 0xe014;
const MRENCLAVE = { from: 64, to: 96 } as const;

const DONE: SgxResult = { origin: "urts", call: "", status: 0, data: new Uint8Array(0) };

/** Serves one enclave until `close`; the program runs this in the Worker named SGX_WORKER. */
export function runSgxWorker(scope: object): void {
  let library: SgxLibrary | undefined;
  let enclave = "";
  let eid: bigint | undefined;
  /** MRENCLAVE of the first, hex: another one under the same path is another program. */
  let measurement: string | undefined;
  let broken: string | undefined;

  function loaded(): SgxLibrary {
    if (broken !== undefined) throw new Error(broken);
    if (library === undefined) throw new Error("no enclave was opened");
    return library;
  }

  /** Makes the enclave where there is none. @returns a failure, or undefined */
  function make(): SgxResult | undefined {
    if (eid !== undefined) return undefined;
    const made = loaded().createEnclave(enclave);
    if (made.status !== 0) return made;
    const fresh = new DataView(made.data.buffer).getBigUint64(0, true);
    const own = loaded().report(
      fresh,
      new Uint8Array(SGX_LENGTH.targetInfo),
      new Uint8Array(SGX_LENGTH.reportData),
    );
    if (own.status !== 0) {
      loaded().destroyEnclave(fresh);
      return own;
    }
    const found = own.data.slice(MRENCLAVE.from, MRENCLAVE.to).toHex();
    if (measurement !== undefined && found !== measurement) {
      loaded().destroyEnclave(fresh);
      throw new Error(`the enclave was lost, and ${enclave} is another one now: ${found}`);
    }
    measurement = found;
    eid = fresh;
    return undefined;
  }

  /** Calls the enclave; once more in a new one where it was lost. */
  function entered(run: (library: SgxLibrary, eid: bigint) => SgxResult): SgxResult {
    for (let attempt = 0;; attempt++) {
      const failed = make();
      if (failed !== undefined) return failed;
      if (eid === undefined) throw new Error("there is no enclave");
      const result = run(loaded(), eid);
      const lost = result.origin === "urts" && result.status === SGX_ERROR_ENCLAVE_LOST;
      if (lost || (result.origin === "urts" && result.status === SGX_ERROR_ENCLAVE_CRASHED)) {
        loaded().destroyEnclave(eid); // what it says of one that is gone does not matter
        eid = undefined;
      }
      // What crashed it would crash the next: the caller hears of it, and the next call begins anew.
      if (!lost || attempt > 0) return result;
    }
  }

  /** Once more where the quoting enclave was lost: the library loads it again by itself. */
  function quoted(reportData: Bytes): SgxResult {
    for (let attempt = 0;; attempt++) {
      const target = loaded().quotingTarget();
      const report = target.status !== 0
        ? target
        : entered((calls, id) => calls.report(id, target.data, reportData));
      const result = report.status !== 0 ? report : loaded().quote(report.data);
      const lost = result.origin === "dcap" && result.status === SGX_QL_ENCLAVE_LOST;
      if (!lost || attempt > 0) return result;
    }
  }

  function perform(request: SgxRequest): SgxResult {
    switch (request.type) {
      case "open":
        if (library !== undefined) throw new Error("an enclave is open already");
        library = loadSgxLibrary(request.paths);
        enclave = request.enclave;
        return make() ?? DONE;
      case "report":
        return entered((calls, id) =>
          calls.report(
            id,
            new Uint8Array(SGX_LENGTH.targetInfo),
            new Uint8Array(SGX_LENGTH.reportData),
          )
        );
      case "quote":
        return quoted(request.reportData);
      case "seal":
        return entered((calls, id) => calls.seal(id, request.policy, request.input, request.aad));
      case "unseal":
        return entered((calls, id) => calls.unseal(id, request.input, request.aad));
      case "derive":
        return entered((calls, id) => calls.deriveKey(id, request.policy, request.label));
      case "close": {
        if (broken === undefined && library !== undefined) {
          if (eid !== undefined) library.destroyEnclave(eid);
          library[Symbol.dispose]();
        }
        eid = undefined;
        library = undefined;
        return DONE;
      }
    }
  }

  serveLibrary<SgxRequest, SgxResult>(scope, {
    perform,
    secrets: (request) =>
      request.type === "seal" || request.type === "unseal" ? [request.input] : [],
    failed(error) {
      // Memory may be damaged: no call goes into those libraries again.
      if (error instanceof SgxContractError) broken = error.message;
    },
  });
}
