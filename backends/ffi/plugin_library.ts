/** A plugin's functions (native/nautilus_tee_plugin.h) as calls on byte strings. Used in a Worker. */
import { createHash } from "node:crypto";
import { makeMemoryFile } from "./memory_file.ts";

const SYMBOLS = {
  // uint32_t nautilus_tee_abi_version(void);
  nautilus_tee_abi_version: { parameters: [], result: "u32" },
  // int32_t nautilus_tee_describe(uint8_t *out, uint32_t capacity, uint32_t *length);
  nautilus_tee_describe: { parameters: ["buffer", "u32", "buffer"], result: "i32" },
  // int32_t nautilus_tee_probe(uint8_t *out, uint32_t capacity, uint32_t *length);
  nautilus_tee_probe: { parameters: ["buffer", "u32", "buffer"], result: "i32" },
  // int32_t nautilus_tee_open(const uint8_t *config, uint32_t config_length, uint64_t *instance);
  nautilus_tee_open: { parameters: ["buffer", "u32", "buffer"], result: "i32" },
  // int32_t nautilus_tee_measurement(uint64_t, uint8_t *out, uint32_t capacity, uint32_t *length);
  nautilus_tee_measurement: { parameters: ["u64", "buffer", "u32", "buffer"], result: "i32" },
  // int32_t nautilus_tee_seal(uint64_t, uint32_t policy, const uint8_t *plaintext, uint32_t,
  //   const uint8_t *aad, uint32_t, uint8_t *out, uint32_t capacity, uint32_t *length);
  nautilus_tee_seal: {
    parameters: ["u64", "u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer"],
    result: "i32",
  },
  // int32_t nautilus_tee_unseal(...) as above, with the sealed data in the plaintext's place
  nautilus_tee_unseal: {
    parameters: ["u64", "u32", "buffer", "u32", "buffer", "u32", "buffer", "u32", "buffer"],
    result: "i32",
  },
  // int32_t nautilus_tee_attest(uint64_t, const uint8_t *report_data, uint8_t *out,
  //   uint32_t capacity, uint32_t *length);
  nautilus_tee_attest: { parameters: ["u64", "buffer", "buffer", "u32", "buffer"], result: "i32" },
  // int32_t nautilus_tee_last_error(uint8_t *out, uint32_t capacity, uint32_t *length, int64_t *);
  nautilus_tee_last_error: { parameters: ["buffer", "u32", "buffer", "buffer"], result: "i32" },
  // void nautilus_tee_release(uint64_t instance);
  nautilus_tee_release: { parameters: ["u64"], result: "void" },
} as const satisfies Deno.ForeignLibraryInterface;

type Bytes = Uint8Array<ArrayBuffer>;

export const PLUGIN_ABI = 1;
/** More than any output: 16 MiB of plaintext, sealed. */
const MAX_OUTPUT_LENGTH = (16 << 20) + 65536;
const MAX_LIBRARY_LENGTH = 256 << 20;
const BUFFER_TOO_SMALL = -1;
/** Behind every output buffer; a plugin that writes beyond its capacity shows here. */
const GUARD = Uint8Array.from({ length: 32 }, (_, index) => 0xa5 ^ index);

/** A call's end: the output, or the plugin's words and the TEE's own status. */
export interface PluginResult {
  /** enum nautilus_tee_status. */
  readonly status: number;
  /** Output on success; on failure the error's text, UTF-8. */
  readonly data: Bytes;
  readonly nativeStatus: bigint;
}

export interface PluginLibrary extends Disposable {
  describe(): PluginResult;
  probe(): PluginResult;
  open(config: Bytes): PluginResult;
  measurement(): PluginResult;
  seal(policy: number, plaintext: Bytes, aad: Bytes): PluginResult;
  unseal(policy: number, sealed: Bytes, aad: Bytes): PluginResult;
  attest(reportData: Bytes): PluginResult;
}

/** The plugin broke its contract; nothing it says can be relied on any more. */
export class PluginContractError extends Error {
  override readonly name = "PluginContractError";
}

/**
 * Loads exactly the bytes that were hashed: the file is read once, and loaded from memory.
 *
 * @param sha256 of the file, lower-case hex
 * @throws {Error} for another hash, a file that cannot be loaded, another ABI version
 */
export function loadPlugin(path: string, sha256: string): PluginLibrary {
  const { size } = Deno.statSync(path);
  if (size > MAX_LIBRARY_LENGTH) throw new Error(`${path} is ${size} bytes`);
  const bytes = Deno.readFileSync(path);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== sha256) throw new Error(`${path} has SHA-256 ${found}, pinned is ${sha256}`);
  // Stays open: its name is how the loader tells this library from the next.
  const memory = makeMemoryFile("nautilus-tee-plugin", bytes);
  let library: Deno.DynamicLibrary<typeof SYMBOLS>;
  try {
    library = Deno.dlopen(memory.path, SYMBOLS);
  } catch (error) {
    memory[Symbol.dispose]();
    throw error;
  }
  const { symbols } = library;
  const end = (): void => {
    library.close();
    memory[Symbol.dispose]();
  };
  const version = symbols.nautilus_tee_abi_version();
  if (version !== PLUGIN_ABI) {
    end();
    throw new Error(`${path} has plugin ABI ${version}, this program has ${PLUGIN_ABI}`);
  }
  let instance: bigint | undefined;

  function opened(): bigint {
    if (instance === undefined) throw new Error("the plugin is not open");
    return instance;
  }

  /** Calls with a buffer, and once more with a larger one where the plugin asks for it. */
  function output(
    name: string,
    guess: number,
    call: (out: Bytes, capacity: number, length: Bytes) => number,
  ): { status: number; data: Bytes } {
    let capacity = guess;
    for (let attempt = 0;; attempt++) {
      const out = new Uint8Array(capacity + GUARD.length);
      out.set(GUARD, capacity);
      const lengthOut = new Uint8Array(4);
      const status = call(out, capacity, lengthOut);
      const length = new DataView(lengthOut.buffer).getUint32(0, true);
      if (GUARD.some((byte, index) => out[capacity + index] !== byte)) {
        throw new PluginContractError(`${name} wrote beyond its buffer`);
      }
      if (status === BUFFER_TOO_SMALL && attempt === 0 && length > capacity) {
        if (length > MAX_OUTPUT_LENGTH) {
          throw new PluginContractError(`${name} wants ${length} bytes`);
        }
        capacity = length;
        continue;
      }
      if (status > 0 || status < -64) {
        throw new PluginContractError(`${name} answered status ${status}`);
      }
      if (status === 0 && length > capacity) {
        throw new PluginContractError(`${name} says ${length} bytes of ${capacity}`);
      }
      const data = out.slice(0, Math.min(length, capacity));
      out.fill(0);
      return { status, data };
    }
  }

  function result(answer: { status: number; data: Bytes }): PluginResult {
    if (answer.status === 0) return { ...answer, nativeStatus: 0n };
    const native = new Uint8Array(8);
    const text = output(
      "nautilus_tee_last_error",
      4096,
      (out, capacity, length) => symbols.nautilus_tee_last_error(out, capacity, length, native),
    );
    return {
      status: answer.status,
      data: text.status === 0 ? text.data : new Uint8Array(0),
      nativeStatus: new DataView(native.buffer).getBigInt64(0, true),
    };
  }

  return {
    describe: () =>
      result(
        output("nautilus_tee_describe", 4096, (out, capacity, length) =>
          symbols.nautilus_tee_describe(out, capacity, length)),
      ),
    // Its text says why, in both cases: no failure to look up.
    probe: () => ({
      ...output(
        "nautilus_tee_probe",
        4096,
        (out, capacity, length) => symbols.nautilus_tee_probe(out, capacity, length),
      ),
      nativeStatus: 0n,
    }),
    open(config) {
      if (instance !== undefined) throw new Error("the plugin is open already");
      const handle = new Uint8Array(8);
      const status = symbols.nautilus_tee_open(config, config.length, handle);
      if (status === 0) instance = new DataView(handle.buffer).getBigUint64(0, true);
      return result({ status, data: new Uint8Array(0) });
    },
    measurement: () =>
      result(
        output("nautilus_tee_measurement", 64, (out, capacity, length) =>
          symbols.nautilus_tee_measurement(opened(), out, capacity, length)),
      ),
    seal: (policy, plaintext, aad) =>
      result(
        output("nautilus_tee_seal", plaintext.length + 4096, (out, capacity, length) =>
          symbols.nautilus_tee_seal(
            opened(),
            policy,
            plaintext,
            plaintext.length,
            aad,
            aad.length,
            out,
            capacity,
            length,
          )),
      ),
    unseal: (policy, sealed, aad) =>
      result(
        output("nautilus_tee_unseal", sealed.length + 64, (out, capacity, length) =>
          symbols.nautilus_tee_unseal(
            opened(),
            policy,
            sealed,
            sealed.length,
            aad,
            aad.length,
            out,
            capacity,
            length,
          )),
      ),
    attest: (reportData) =>
      result(
        output("nautilus_tee_attest", 65536, (out, capacity, length) =>
          symbols.nautilus_tee_attest(opened(), reportData, out, capacity, length)),
      ),
    [Symbol.dispose]() {
      if (instance !== undefined) symbols.nautilus_tee_release(instance);
      instance = undefined;
      end();
    },
  };
}
