/**
 * `/dev/attestation` inside Gramine: pseudo-files of the library OS that stand for EREPORT, a DCAP
 * quote and EGETKEY. `user_report_data` and `quote` are one pair for the whole process, so requests
 * go one after the other.
 */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

export interface GramineAttestation {
  /** @param reportData 64 bytes */
  quote(reportData: Bytes): Promise<Bytes>;
  /** EGETKEY's seal key by the enclave's measurement or its signer: 16 bytes; the caller wipes them. */
  sealKey(name: "_sgx_mrenclave" | "_sgx_mrsigner"): Promise<Bytes>;
}

const MAX_QUOTE_LENGTH = 64 * 1024;
const KEY_LENGTH = 16;

async function readAll(path: string, limit: number): Promise<Bytes> {
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(limit + 1);
  try {
    let length = 0;
    while (length < buffer.length) {
      const count = await file.read(buffer.subarray(length));
      if (count === null) break;
      length += count;
    }
    if (length > limit) throw new RangeError(`longer than ${limit} bytes`);
    return buffer.slice(0, length);
  } finally {
    buffer.fill(0);
  }
}

/** @param folder `/dev/attestation` */
export function createGramineAttestation(folder: string): GramineAttestation {
  let tail: Promise<unknown> = Promise.resolve();

  function failure(name: string, cause: unknown): BackendError {
    if (cause instanceof BackendError) return cause;
    return new BackendError(
      cause instanceof Deno.errors.NotFound ? "unavailable" : "io",
      `Gramine, ${folder}/${name}: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        kind: "SGX",
        cause,
        hint: name === "quote"
          ? "quotes need the host's AESM service and a provisioned platform (PCK certificates)"
          : "check sgx.remote_attestation in the manifest, and Gramine's version (1.4 or later)",
      },
    );
  }

  return {
    quote(reportData) {
      const run = tail.then(async () => {
        let name = "user_report_data";
        try {
          {
            using file = await Deno.open(`${folder}/${name}`, { write: true });
            const count = await file.write(reportData);
            if (count !== reportData.length) throw new RangeError(`it took ${count} bytes`);
          }
          name = "quote";
          return await readAll(`${folder}/${name}`, MAX_QUOTE_LENGTH);
        } catch (cause) {
          throw failure(name, cause);
        }
      });
      tail = run.catch(() => undefined); // the caller has the failure; the next in line goes on
      return run;
    },
    async sealKey(name) {
      try {
        const key = await readAll(`${folder}/keys/${name}`, KEY_LENGTH);
        if (key.length === KEY_LENGTH && key.some((byte) => byte !== 0)) return key;
        throw new BackendError("malformed", `Gramine gave a seal key of ${key.length} bytes`, {
          kind: "SGX",
        });
      } catch (cause) {
        throw failure(`keys/${name}`, cause);
      }
    },
  };
}
