/**
 * Intel's SGX runtime, the flat shim of our enclave (native/sgx/nautilus_sgx.h) and the DCAP quoting
 * library as calls on byte strings. Synchronous: used in a Worker (sgx_worker.ts).
 */
type Bytes = Uint8Array<ArrayBuffer>;

const URTS = {
  // sgx_status_t sgx_create_enclave(const char *file_name, const int debug,
  //   sgx_launch_token_t *token, int *updated, sgx_enclave_id_t *eid, sgx_misc_attribute_t *misc);
  sgx_create_enclave: {
    parameters: ["buffer", "i32", "buffer", "buffer", "buffer", "buffer"],
    result: "u32",
  },
  // sgx_status_t sgx_destroy_enclave(const sgx_enclave_id_t eid);
  sgx_destroy_enclave: { parameters: ["u64"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

const SHIM = {
  // uint32_t nautilus_sgx_abi_version(void);
  nautilus_sgx_abi_version: { parameters: [], result: "u32" },
  // uint32_t nautilus_sgx_get_report(uint64_t eid, uint32_t *result, const uint8_t *target_info,
  //   const uint8_t *report_data, uint8_t *report);
  nautilus_sgx_get_report: {
    parameters: ["u64", "buffer", "buffer", "buffer", "buffer"],
    result: "u32",
  },
  // uint32_t nautilus_sgx_seal(uint64_t eid, uint32_t *result, uint32_t policy,
  //   const uint8_t *plaintext, uint32_t, const uint8_t *aad, uint32_t, uint8_t *out,
  //   uint32_t capacity, uint32_t *length);
  nautilus_sgx_seal: {
    parameters: [
      ...["u64", "buffer", "u32", "buffer", "u32", "buffer", "u32"] as const,
      ...["buffer", "u32", "buffer"] as const,
    ],
    result: "u32",
  },
  // uint32_t nautilus_sgx_unseal(uint64_t eid, uint32_t *result, const uint8_t *sealed, uint32_t,
  //   const uint8_t *aad, uint32_t, uint8_t *out, uint32_t capacity, uint32_t *length);
  nautilus_sgx_unseal: {
    parameters: [
      ...["u64", "buffer", "buffer", "u32", "buffer", "u32"] as const,
      ...["buffer", "u32", "buffer"] as const,
    ],
    result: "u32",
  },
  // uint32_t nautilus_sgx_derive_key(uint64_t eid, uint32_t *result, uint32_t policy,
  //   const uint8_t *label, uint8_t *key);
  nautilus_sgx_derive_key: {
    parameters: ["u64", "buffer", "u32", "buffer", "buffer"],
    result: "u32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

const DCAP = {
  // quote3_error_t sgx_qe_get_target_info(sgx_target_info_t *p_qe_target_info);
  sgx_qe_get_target_info: { parameters: ["buffer"], result: "u32" },
  // quote3_error_t sgx_qe_get_quote_size(uint32_t *p_quote_size);
  sgx_qe_get_quote_size: { parameters: ["buffer"], result: "u32" },
  // quote3_error_t sgx_qe_get_quote(const sgx_report_t *p_app_report, uint32_t, uint8_t *p_quote);
  sgx_qe_get_quote: { parameters: ["buffer", "u32", "buffer"], result: "u32" },
} as const satisfies Deno.ForeignLibraryInterface;

export const SHIM_ABI = 1;
export const SGX_LENGTH = {
  targetInfo: 512,
  reportData: 64,
  report: 432,
  key: 32,
  label: 32,
  /** NAUTILUS_SGX_OVERHEAD. */
  sealOverhead: 104,
} as const;
const LAUNCH_TOKEN_LENGTH = 1024;
/** sgx_misc_attribute_t is 24 bytes; room for one that grows. */
const MISC_LENGTH = 64;
const MAX_QUOTE_LENGTH = 1 << 20;
/** Behind every output buffer; a library that writes beyond its capacity shows here. */
const GUARD = Uint8Array.from({ length: 32 }, (_, index) => 0x5a ^ index);

/** Where a status came from: sgx_status_t (`urts`, `enclave`), or quote3_error_t (`dcap`). */
export type SgxOrigin = "urts" | "enclave" | "dcap";

/** A call's end. `status` 0: `data` is its output. */
export interface SgxResult {
  readonly origin: SgxOrigin;
  /** The function that gave the status. */
  readonly call: string;
  readonly status: number;
  readonly data: Bytes;
}

/** Absolute paths, or names that the dynamic linker finds. */
export interface SgxPaths {
  readonly urts: string;
  readonly shim: string;
  readonly dcap: string;
}

/** The libraries broke their contract; nothing they say can be relied on any more. */
export class SgxContractError extends Error {
  override readonly name = "SgxContractError";
}

export interface SgxLibrary extends Disposable {
  /** 8 bytes: the enclave's id. @param path of the signed enclave, without NUL */
  createEnclave(path: string): SgxResult;
  destroyEnclave(eid: bigint): SgxResult;
  /** @param targetInfo 512 bytes @param reportData 64 bytes */
  report(eid: bigint, targetInfo: Bytes, reportData: Bytes): SgxResult;
  seal(eid: bigint, policy: number, plaintext: Bytes, aad: Bytes): SgxResult;
  unseal(eid: bigint, sealed: Bytes, aad: Bytes): SgxResult;
  /** @param label 32 bytes */
  deriveKey(eid: bigint, policy: number, label: Bytes): SgxResult;
  /** Of the quoting enclave, 512 bytes. */
  quotingTarget(): SgxResult;
  /** @param report 432 bytes, for the quoting enclave's target */
  quote(report: Bytes): SgxResult;
}

/** @throws {Error} for a library that cannot be loaded, or a shim of another version */
export function loadSgxLibrary(paths: SgxPaths): SgxLibrary {
  using undo = new DisposableStack();
  const { symbols: urts } = undo.adopt(Deno.dlopen(paths.urts, URTS), (library) => library.close());
  const { symbols: shim } = undo.adopt(Deno.dlopen(paths.shim, SHIM), (library) => library.close());
  const { symbols: dcap } = undo.adopt(Deno.dlopen(paths.dcap, DCAP), (library) => library.close());
  const version = shim.nautilus_sgx_abi_version();
  if (version !== SHIM_ABI) {
    throw new Error(`${paths.shim} has version ${version}, this program has ${SHIM_ABI}`);
  }

  function wanted(name: string, bytes: Bytes, length: number): void {
    if (bytes.length === length) return;
    throw new RangeError(`${name} is ${bytes.length} bytes, ${length} are wanted`);
  }

  /** One call with an output of at most `capacity` bytes, guarded. */
  function guarded(
    origin: SgxOrigin,
    call: string,
    capacity: number,
    run: (out: Bytes) => { status: number; length: number },
  ): SgxResult {
    const out = new Uint8Array(capacity + GUARD.length);
    out.set(GUARD, capacity);
    const { status, length } = run(out);
    if (GUARD.some((byte, index) => out[capacity + index] !== byte)) {
      throw new SgxContractError(`${call} wrote beyond its buffer`);
    }
    if (status === 0 && length > capacity) {
      throw new SgxContractError(`${call} says ${length} bytes of ${capacity}`);
    }
    const data = status === 0 ? out.slice(0, length) : new Uint8Array(0);
    out.fill(0);
    return { origin, call, status, data };
  }

  /** An ecall: its own status first, then what the enclave answered. */
  function ecall(
    call: string,
    capacity: number,
    run: (result: Bytes, out: Bytes, length: Bytes) => number,
    fixed: boolean,
  ): SgxResult {
    const result = new Uint8Array(4);
    const lengthOut = new Uint8Array(4);
    let entered = true;
    const answer = guarded("enclave", call, capacity, (out) => {
      const outer = run(result, out, lengthOut);
      entered = outer === 0;
      const status = entered ? u32(result) : outer;
      return { status, length: fixed ? capacity : u32(lengthOut) };
    });
    return entered ? answer : { ...answer, origin: "urts" };
  }

  const library: SgxLibrary = {
    createEnclave(path) {
      if (path.includes("\0")) throw new TypeError("a path with a NUL in it");
      const name = new TextEncoder().encode(`${path}\0`);
      const call = "sgx_create_enclave";
      return guarded("urts", call, 8, (out) => ({
        status: urts.sgx_create_enclave(
          name,
          0, // never a debug enclave: its memory can be read
          new Uint8Array(LAUNCH_TOKEN_LENGTH),
          new Uint8Array(4),
          out,
          new Uint8Array(MISC_LENGTH),
        ),
        length: 8,
      }));
    },
    destroyEnclave: (eid) => ({
      origin: "urts",
      call: "sgx_destroy_enclave",
      status: urts.sgx_destroy_enclave(eid),
      data: new Uint8Array(0),
    }),
    report(eid, targetInfo, reportData) {
      wanted("target info", targetInfo, SGX_LENGTH.targetInfo);
      wanted("report data", reportData, SGX_LENGTH.reportData);
      return ecall(
        "get_report",
        SGX_LENGTH.report,
        (result, out) => shim.nautilus_sgx_get_report(eid, result, targetInfo, reportData, out),
        true,
      );
    },
    seal: (eid, policy, plaintext, aad) =>
      ecall(
        "seal",
        plaintext.length + SGX_LENGTH.sealOverhead,
        (result, out, length) =>
          shim.nautilus_sgx_seal(
            eid,
            result,
            policy,
            plaintext,
            plaintext.length,
            aad,
            aad.length,
            out,
            plaintext.length + SGX_LENGTH.sealOverhead,
            length,
          ),
        false,
      ),
    unseal: (eid, sealed, aad) =>
      ecall(
        "unseal",
        sealed.length,
        (result, out, length) =>
          shim.nautilus_sgx_unseal(
            eid,
            result,
            sealed,
            sealed.length,
            aad,
            aad.length,
            out,
            sealed.length,
            length,
          ),
        false,
      ),
    deriveKey(eid, policy, label) {
      wanted("label", label, SGX_LENGTH.label);
      return ecall(
        "derive_key",
        SGX_LENGTH.key,
        (result, out) => shim.nautilus_sgx_derive_key(eid, result, policy, label, out),
        true,
      );
    },
    quotingTarget: () =>
      guarded("dcap", "sgx_qe_get_target_info", SGX_LENGTH.targetInfo, (out) => ({
        status: dcap.sgx_qe_get_target_info(out),
        length: SGX_LENGTH.targetInfo,
      })),
    quote(report) {
      wanted("report", report, SGX_LENGTH.report);
      const asked = guarded("dcap", "sgx_qe_get_quote_size", 4, (out) => ({
        status: dcap.sgx_qe_get_quote_size(out),
        length: 4,
      }));
      if (asked.status !== 0) return asked;
      const size = u32(asked.data);
      if (size === 0 || size > MAX_QUOTE_LENGTH) {
        throw new SgxContractError(`sgx_qe_get_quote_size says ${size} bytes`);
      }
      return guarded("dcap", "sgx_qe_get_quote", size, (out) => ({
        status: dcap.sgx_qe_get_quote(report, size, out),
        length: size,
      }));
    },
    [Symbol.dispose]: () => loaded.dispose(),
  };
  const loaded = undo.move();
  return library;
}

function u32(bytes: Bytes): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}
