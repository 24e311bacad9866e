/** SGX with the whole program inside, under Gramine: quotes, seal keys, both by its pseudo-files. */
import { hkdfSync } from "node:crypto";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { EnclaveReport } from "../dcap/enclave_report.ts";
import { BackendError } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import type { Attester, Bytes, Sealer, SealPolicy, TeeBackend } from "../mod.ts";
import { createSealer } from "../sealer.ts";
import { importSealingKey, type SealingKey } from "../sealing.ts";
import type { GramineAttestation } from "./gramine.ts";
import { checkedSgxQuote } from "./quote.ts";

/** MRSIGNER ‖ ISVPRODID ‖ ISVSVN (little-endian): all that Gramine's signer key hangs on. */
function signerIdentity(report: EnclaveReport): Bytes {
  const out = new Uint8Array(36);
  out.set(report.mrSigner);
  const view = new DataView(out.buffer);
  view.setUint16(32, report.isvProdId, true);
  view.setUint16(34, report.isvSvn, true);
  return out;
}

export class GramineBackend implements TeeBackend {
  readonly kind = "SGX";
  readonly securityLevel = 3;
  readonly covers = "program";
  readonly sealer: Sealer;
  readonly attester: Attester;
  readonly counter = undefined;
  readonly #gramine: GramineAttestation;
  readonly #report: EnclaveReport;
  readonly #keys = new Map<SealPolicy, Promise<SealingKey>>();
  #closed = false;

  constructor(options: {
    gramine: GramineAttestation;
    /** Of a first quote: what this enclave is. */
    report: EnclaveReport;
    random: (length: number) => Bytes;
    clock: () => number;
  }) {
    const { gramine, report, random, clock } = options;
    this.#gramine = gramine;
    this.#report = report;
    const assertOpen = (): void => this.#assertOpen();
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen,
      make: async (reportData) => {
        const data = await gramine.quote(reportData);
        const quoted = checkedSgxQuote(data, reportData);
        if (quoted.mrEnclave.toHex() !== report.mrEnclave.toHex()) {
          throw new BackendError("malformed", "the quote is of another enclave", {
            kind: this.kind,
          });
        }
        return { mediaType: EVIDENCE_MEDIA_TYPE.SGX, data, endorsements: [] };
      },
    });
    this.sealer = createSealer({
      kind: this.kind,
      policies: ["measurement", "signer"],
      identity: (policy) =>
        Promise.resolve(
          policy === "measurement"
            ? { value: report.mrEnclave.slice(), mismatch: "measurement_mismatch" }
            : { value: signerIdentity(report), mismatch: "signer_mismatch" },
        ),
      derive: async (policy) => ({ key: await this.#key(policy), parameters: new Uint8Array(0) }),
      rederive: (policy, parameters) => {
        if (parameters.length === 0) return this.#key(policy);
        throw new BackendError("malformed", "a blob sealed under Gramine has no parameters", {
          kind: this.kind,
        });
      },
      foreignHint: "another processor, or one whose microcode was updated since: Gramine's seal " +
        "keys hang on it; recover with a recovery key (docs/KEYS.md)",
      random,
      assertOpen,
    });
  }

  /** MRENCLAVE, 32 bytes. */
  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#report.mrEnclave.slice();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#keys.clear();
    return Promise.resolve();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the SGX backend was closed", { kind: this.kind });
    }
  }

  #key(policy: SealPolicy): Promise<SealingKey> {
    let key = this.#keys.get(policy);
    if (key === undefined) {
      key = this.#makeKey(policy);
      this.#keys.set(policy, key);
      key.catch(() => this.#keys.delete(policy)); // the next caller asks again
    }
    return key;
  }

  async #makeKey(policy: SealPolicy): Promise<SealingKey> {
    const raw = await this.#gramine.sealKey(
      policy === "measurement" ? "_sgx_mrenclave" : "_sgx_mrsigner",
    );
    // Gramine encrypts files under the raw keys; ours are others.
    const info = `nautilus-tee/sgx/v1/seal by ${policy}`;
    const secret = new Uint8Array(hkdfSync("sha256", raw, new Uint8Array(0), info, 32));
    raw.fill(0);
    try {
      return await importSealingKey(secret);
    } finally {
      secret.fill(0);
    }
  }
}
