/**
 * SGX with a key helper enclave (native/sgx): it seals and gives quotes; the running master is
 * outside of it, which is what `covers: helper` says.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeEnclaveReport, type EnclaveReport } from "../dcap/enclave_report.ts";
import { BackendError } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import type { Attester, Bytes, SealedBlob, Sealer, SealPolicy, TeeBackend } from "../mod.ts";
import {
  decodeSealedBlob,
  encodeSealedBlob,
  KEY_ID_LENGTH,
  MAX_PLAINTEXT_LENGTH,
  sealedBlobAad,
} from "../sealing.ts";
import { checkedSgxQuote } from "./quote.ts";
import { openSgxHelper, type SgxHelper, type SgxHelperOptions } from "./helper.ts";

const POLICIES = ["measurement", "signer"] as const satisfies readonly SealPolicy[];
const FINGERPRINT_LABEL = "nautilus-tee/sgx/v1/fingerprint";

interface Identity {
  /** MRENCLAVE, or MRSIGNER ‖ ISVPRODID (little-endian). */
  readonly value: Bytes;
  /** Of processor and identity: public, the same after updates. 16 bytes. */
  readonly keyId: Bytes;
}

/** Opens the enclave and asks it what it is. @throws {BackendError} as openSgxHelper does */
export async function openSgxHelperBackend(
  options: SgxHelperOptions & { readonly clock: () => number },
): Promise<TeeBackend> {
  const helper = await openSgxHelper(options);
  try {
    const report = decodeEnclaveReport(await helper.report());
    const [measurement, signer] = await Promise.all([
      fingerprint(helper, "measurement"),
      fingerprint(helper, "signer"),
    ]);
    return new SgxHelperBackend(helper, report, {
      measurement: { value: report.mrEnclave.slice(), keyId: measurement },
      signer: { value: signerIdentity(report), keyId: signer },
    }, options.clock);
  } catch (error) {
    await helper[Symbol.asyncDispose]();
    throw error;
  }
}

async function fingerprint(helper: SgxHelper, policy: SealPolicy): Promise<Bytes> {
  const label = new Uint8Array(sha256(new TextEncoder().encode(FINGERPRINT_LABEL)));
  const secret = await helper.deriveKey(policy, label);
  const out = new Uint8Array(sha256(secret)).slice(0, KEY_ID_LENGTH);
  secret.fill(0);
  return out;
}

/** All that the signer's keys hang on, apart from security versions, which may rise. */
function signerIdentity(report: EnclaveReport): Bytes {
  const out = new Uint8Array(34);
  out.set(report.mrSigner);
  new DataView(out.buffer).setUint16(32, report.isvProdId, true);
  return out;
}

class SgxHelperBackend implements TeeBackend {
  readonly kind = "SGX";
  readonly securityLevel = 3;
  readonly covers = "helper";
  readonly sealer: Sealer;
  readonly attester: Attester;
  readonly counter = undefined;
  readonly #helper: SgxHelper;
  readonly #report: EnclaveReport;
  readonly #identities: Readonly<Record<SealPolicy, Identity>>;
  #closed = false;

  constructor(
    helper: SgxHelper,
    report: EnclaveReport,
    identities: Readonly<Record<SealPolicy, Identity>>,
    clock: () => number,
  ) {
    this.#helper = helper;
    this.#report = report;
    this.#identities = identities;
    this.sealer = {
      policies: Object.freeze([...POLICIES]),
      seal: (plaintext, policy, aad) => this.#seal(plaintext, policy, aad),
      unseal: (blob, aad) => this.#unseal(blob, aad),
    };
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen: () => this.#assertOpen(),
      make: async (reportData) => {
        const data = await this.#helper.quote(reportData);
        const quoted = checkedSgxQuote(data, reportData);
        if (quoted.mrEnclave.toHex() !== report.mrEnclave.toHex()) {
          throw new BackendError("malformed", "the quote is of another enclave", {
            kind: this.kind,
          });
        }
        return { mediaType: EVIDENCE_MEDIA_TYPE.SGX, data, endorsements: [] };
      },
    });
  }

  /** MRENCLAVE of the helper, 32 bytes. */
  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#report.mrEnclave.slice();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#helper[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the SGX backend was closed", { kind: this.kind });
    }
  }

  async #seal(plaintext: Bytes, policy: SealPolicy, aad: Bytes): Promise<SealedBlob> {
    this.#assertOpen();
    if (plaintext.length > MAX_PLAINTEXT_LENGTH) {
      throw new RangeError(`cannot seal ${plaintext.length} bytes`);
    }
    const { value, keyId } = this.#identities[policy];
    const about = {
      kind: this.kind,
      policy,
      suite: "native",
      keyId,
      sealedTo: value,
      parameters: new Uint8Array(0),
    } as const;
    // The enclave's own header says how long the body is; the header outside says 0 to it.
    const body = await this.#helper.seal(policy, plaintext, sealedBlobAad(about, 0, aad));
    this.#assertOpen();
    return encodeSealedBlob({ ...about, body });
  }

  async #unseal(blob: SealedBlob, aad: Bytes): Promise<Bytes> {
    this.#assertOpen();
    const { body, ...about } = decodeSealedBlob(blob, this.kind);
    const { value, keyId } = this.#identities[about.policy];
    if (about.keyId.toHex() !== keyId.toHex()) throw this.#sealedElsewhere(about, value);
    const plaintext = await this.#helper.unseal(body, sealedBlobAad(about, 0, aad));
    this.#assertOpen();
    return plaintext;
  }

  /** Another fingerprint: because of the enclave, its signer, or the processor. */
  #sealedElsewhere(
    about: { readonly policy: SealPolicy; readonly sealedTo: Bytes; readonly keyId: Bytes },
    running: Bytes,
  ): BackendError {
    const subject = about.policy === "measurement" ? "measurement" : "signer";
    if (about.sealedTo.toHex() === running.toHex()) {
      return new BackendError(
        "foreign_device",
        `sealed with key ${about.keyId.toHex()}, this processor makes another`,
        { kind: this.kind, hint: "recover with a recovery key (docs/KEYS.md)" },
      );
    }
    return new BackendError(
      about.policy === "measurement" ? "measurement_mismatch" : "signer_mismatch",
      `sealed to ${subject} ${about.sealedTo.toHex()}, running ${subject} is ${running.toHex()}`,
      {
        kind: this.kind,
        hint: about.policy === "measurement"
          ? "install the enclave that sealed it, or recover with a recovery key"
          : "install an enclave of the signer that sealed it, or recover with a recovery key",
      },
    );
  }
}
