/**
 * ARM TrustZone through the GlobalPlatform TEE Client API: our TA seals, unseals and signs evidence.
 * It is a helper: keys are protected at rest, the running master is not covered.
 */
import * as v from "valibot";
import { refuseWhereAbsent } from "../absent.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import { LIBTEEC_NAMES } from "../ffi/libteec_symbols.ts";
import type { SpawnWorker } from "../ffi/worker_channel.ts";
import {
  BackendError,
  type BackendFactory,
  type Bytes,
  type ProbeResult,
  type SealedBlob,
  type Sealer,
  type SealPolicy,
  type TeeBackend,
} from "../mod.ts";
import { found, librarySignal, notFound, pathSignal, type ProbeHost } from "../probe.ts";
import {
  decodeSealedBlob,
  encodeSealedBlob,
  MAX_PLAINTEXT_LENGTH,
  sealedBlobAad,
} from "../sealing.ts";
import { parseTaEvidence, SEALED_OVERHEAD } from "./ta_abi.ts";
import { openTaClient, type TaClient } from "./ta_client.ts";

export const TEE_DEVICE = "/dev/tee0";
const SUPPLICANT_DEVICE = "/dev/teepriv0";

/** The client device and libteec; on x86-64 the same device belongs to AMD's TEE, which is not this one. */
export async function probeTrustZone(host: ProbeHost): Promise<ProbeResult> {
  const [device, supplicant, library] = await Promise.all([
    pathSignal(host, TEE_DEVICE),
    pathSignal(host, SUPPLICANT_DEVICE),
    librarySignal(host, LIBTEEC_NAMES),
  ]);
  const signals = [device, supplicant, library];
  if (host.arch !== "aarch64") {
    return notFound(
      signals,
      device.present
        ? `${TEE_DEVICE} on ${host.arch} is AMD's TEE, not TrustZone`
        : `TrustZone is of ARM, not ${host.arch}`,
    );
  }
  if (!device.present) {
    return notFound(
      signals,
      `no ${TEE_DEVICE}: no trusted OS, or its driver is not loaded`,
      "use a firmware with OP-TEE, and load the driver: modprobe optee",
    );
  }
  if (!library.present) {
    return notFound(
      signals,
      `${TEE_DEVICE} is there, but no libteec`,
      "install the TEE client library (Debian: libteec2, tee-supplicant)",
    );
  }
  return found(signals, `${TEE_DEVICE} and ${library.name} are there`);
}

class TrustZoneBackend implements TeeBackend {
  readonly kind = "TrustZone";
  readonly securityLevel = 2;
  readonly covers = "helper";
  readonly sealer: Sealer;
  readonly attester: TeeBackend["attester"];
  readonly counter = undefined;
  readonly #ta: TaClient;
  #closed = false;

  constructor(ta: TaClient, clock: () => number) {
    this.#ta = ta;
    this.sealer = {
      policies: Object.freeze(["measurement"] as const),
      seal: (plaintext, policy, aad) => this.#seal(plaintext, policy, aad),
      unseal: (blob, aad) => this.#unseal(blob, aad),
    };
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen: () => this.#assertOpen(),
      make: async (reportData) => ({
        mediaType: EVIDENCE_MEDIA_TYPE.TrustZone,
        data: this.#checkedEvidence(await this.#ta.attest(reportData), reportData),
        endorsements: [],
      }),
    });
  }

  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#ta.info.measurement.slice();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#ta[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the TrustZone backend was closed", { kind: this.kind });
    }
  }

  #assertPolicy(policy: SealPolicy): void {
    if (policy === "measurement") return;
    throw new BackendError(
      "policy_unsupported",
      `TrustZone cannot seal under policy "${policy}": a TA does not learn who signed it`,
      { kind: this.kind, hint: 'use "measurement"' },
    );
  }

  #about(policy: SealPolicy): Parameters<typeof sealedBlobAad>[0] {
    return {
      kind: this.kind,
      policy,
      suite: "native",
      keyId: this.#ta.keyId,
      sealedTo: this.#ta.info.measurement,
      parameters: new Uint8Array(0),
    };
  }

  async #seal(plaintext: Bytes, policy: SealPolicy, aad: Bytes): Promise<SealedBlob> {
    this.#assertOpen();
    this.#assertPolicy(policy);
    if (plaintext.length > MAX_PLAINTEXT_LENGTH) {
      throw new RangeError(
        `cannot seal ${plaintext.length} bytes, ${MAX_PLAINTEXT_LENGTH} at most`,
      );
    }
    const about = this.#about(policy);
    const bound = sealedBlobAad(about, plaintext.length + SEALED_OVERHEAD, aad);
    const body = await this.#ta.seal(plaintext, bound);
    this.#assertOpen();
    return encodeSealedBlob({ ...about, body });
  }

  async #unseal(blob: SealedBlob, aad: Bytes): Promise<Bytes> {
    this.#assertOpen();
    const { body, ...about } = decodeSealedBlob(blob, this.kind);
    this.#assertPolicy(about.policy);
    if (about.suite !== "native") {
      throw new BackendError("malformed", `suite ${about.suite} is not the TA's`, {
        kind: this.kind,
      });
    }
    this.#assertSameKey(about.keyId, about.sealedTo);
    try {
      const plaintext = await this.#ta.unseal(body, sealedBlobAad(about, body.length, aad));
      this.#assertOpen();
      return plaintext;
    } catch (cause) {
      const contradicts = cause instanceof BackendError &&
        (cause.code === "measurement_mismatch" || cause.code === "policy_unsupported");
      if (!contradicts) throw cause;
      // The blob's header names this very key: what stands inside was changed.
      throw new BackendError("tampered", "the sealed blob contradicts its own header", {
        kind: this.kind,
        cause,
        hint: "the file is damaged or was changed: restore it from a backup",
      });
    }
  }

  /** Another key: because of the TA's code, or the machine. */
  #assertSameKey(keyId: Bytes, sealedTo: Bytes): void {
    const { keyId: own, info: { measurement } } = this.#ta;
    if (keyId.toHex() === own.toHex()) return;
    if (sealedTo.toHex() !== measurement.toHex()) {
      throw new BackendError(
        "measurement_mismatch",
        `sealed to measurement ${sealedTo.toHex()}, running measurement is ${measurement.toHex()}`,
        {
          kind: this.kind,
          hint: "install the TA that sealed it, or recover with a recovery key",
        },
      );
    }
    throw new BackendError(
      "foreign_device",
      `sealed with key ${keyId.toHex()}, this device makes ${own.toHex()}`,
      {
        kind: this.kind,
        hint: "another machine, or a trusted OS that makes another key of the hardware's: " +
          "recover with a recovery key (docs/KEYS.md)",
      },
    );
  }

  #checkedEvidence(bytes: Bytes, reportData: Bytes): Bytes {
    const evidence = parseTaEvidence(bytes);
    const { info } = this.#ta;
    if (evidence.reportData.toHex() !== reportData.toHex()) {
      throw new BackendError("malformed", "the TA signed other report data than was asked for", {
        kind: this.kind,
      });
    }
    if (
      evidence.measurement.toHex() !== info.measurement.toHex() ||
      evidence.attestationKey.toHex() !== info.attestationKey.toHex()
    ) {
      throw new BackendError("device_lost", "another TA answers than the one that was opened", {
        kind: this.kind,
        hint: "it was replaced while the master ran: restart the master",
      });
    }
    return bytes;
  }
}

export interface TrustZoneBackendDeps {
  readonly host: ProbeHost;
  readonly spawnWorker: SpawnWorker;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const ConfigSchema = v.strictObject({
  /** libteec; undefined: the usual names. */
  library: v.optional(v.pipe(v.string(), v.startsWith("/", "an absolute path is wanted"))),
  /** The TEE's name for libteec; undefined: the first there is. */
  tee: v.optional(v.pipe(v.string(), v.minLength(1))),
});

export function createTrustZoneFactory(deps: TrustZoneBackendDeps): BackendFactory {
  return {
    kind: "TrustZone",
    securityLevel: 2,
    probe: () => probeTrustZone(deps.host),
    async open(config) {
      const { library, tee } = decodeBackendConfig("TrustZone", ConfigSchema, config ?? {});
      if (library === undefined) refuseWhereAbsent("TrustZone", await probeTrustZone(deps.host));
      const ta = await openTaClient({ spawnWorker: deps.spawnWorker, library, tee });
      return new TrustZoneBackend(ta, deps.clock);
    },
  };
}
