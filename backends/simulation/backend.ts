/**
 * The simulated TEE: behaves like the others and protects nothing. Its device is a file of random
 * bytes (state.ts), its signer is the installation, its measurement the running program's.
 */
import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject, sign } from "node:crypto";
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import type {
  Attester,
  BackendFactory,
  Bytes,
  Evidence,
  MonotonicCounter,
  Sealer,
  SealPolicy,
  TeeBackend,
} from "../mod.ts";
import { createSealer } from "../sealer.ts";
import { importSealingKey, type SealingKey } from "../sealing.ts";
import {
  BOOT_ID_LENGTH,
  certificateInput,
  encodeEvidence,
  evidenceInput,
  MEASUREMENT_LENGTH,
  PUBLIC_KEY_LENGTH,
  REPORT_DATA_LENGTH,
  ROOT_ENDORSEMENT,
  SIGNATURE_LENGTH,
} from "./abi.ts";
import { createFileCounter } from "./counter.ts";
import { openSealingRoot } from "./state.ts";

export interface SimulationDeps {
  /** 48 bytes: see program.ts. Asked once a backend, when first needed. */
  readonly measureProgram: () => Promise<Bytes>;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** What `open` takes; unknown fields are refused. */
export interface SimulationConfig {
  /** The master's data directory; the simulation lives in its folder `simulation`. */
  readonly dataDir: string;
  /** Whether a device may be made where there is none: only for a data directory without a store. */
  readonly create: boolean;
}

const ConfigSchema = v.strictObject({
  dataDir: v.pipe(v.string(), v.minLength(1)),
  create: v.boolean(),
});

/** PKCS #8 of an Ed25519 seed up to the seed (RFC 8410, 7). */
const PKCS8_PREFIX = Uint8Array.fromHex("302e020100300506032b657004220420");

function ed25519Key(seed: Bytes): { key: KeyObject; spki: Bytes } {
  const der = new Uint8Array(PKCS8_PREFIX.length + seed.length);
  der.set(PKCS8_PREFIX);
  der.set(seed, PKCS8_PREFIX.length);
  const pem = `-----BEGIN PRIVATE KEY-----\n${der.toBase64()}\n-----END PRIVATE KEY-----\n`;
  const key = createPrivateKey(pem);
  der.fill(0);
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  return { key, spki: new Uint8Array(spki) };
}

/** HKDF-SHA-256 with one purpose string each; 32 bytes. */
function derive(root: Bytes, purpose: string, context: Bytes = new Uint8Array(0)): Bytes {
  const info = `nautilus-tee/simulation/v1/${purpose}`;
  return new Uint8Array(hkdfSync("sha256", root, context, info, 32));
}

function signed(key: KeyObject, data: Bytes): Bytes {
  return new Uint8Array(sign(null, data, key));
}

class SimulationBackend implements TeeBackend {
  readonly kind = "SIMULATION";
  readonly securityLevel = 1;
  readonly covers = "none";
  readonly sealer: Sealer;
  readonly attester: Attester;
  readonly counter: MonotonicCounter;
  readonly #root: Bytes;
  readonly #counterKey: Bytes;
  readonly #signer: { key: KeyObject; spki: Bytes };
  readonly #bootId: Bytes;
  readonly #deps: SimulationDeps;
  readonly #sealingKeys = new Map<SealPolicy, Promise<SealingKey>>();
  #measurement: Promise<Bytes> | undefined;
  #attestationKey: { key: KeyObject; publicKey: Bytes; certificate: Bytes } | undefined;
  #closed = false;

  constructor(folder: string, root: Bytes, deps: SimulationDeps) {
    this.#root = root;
    this.#deps = deps;
    this.#bootId = deps.random(BOOT_ID_LENGTH);
    this.#signer = ed25519Key(derive(root, "development root"));
    this.#counterKey = derive(root, "counter");
    const assertOpen = (): void => this.#assertOpen();
    this.counter = createFileCounter(folder, this.#counterKey, assertOpen);
    this.attester = { attest: (data) => this.#attest(data) };
    this.sealer = createSealer({
      kind: this.kind,
      policies: ["measurement", "signer"],
      identity: async (policy) =>
        policy === "measurement"
          ? { value: await this.#measure(), mismatch: "measurement_mismatch" }
          // The installation is signer and device in one.
          : { value: this.#signerId(), mismatch: "foreign_device" },
      derive: async (policy) => ({
        key: await this.#sealingKey(policy),
        parameters: new Uint8Array(0),
      }),
      deriveFor: async (measurement) => ({
        key: await this.#deriveSealingKey("measurement", measurement),
        parameters: new Uint8Array(0),
      }),
      rederive: (policy, parameters) => {
        if (parameters.length === 0) return this.#sealingKey(policy);
        throw new BackendError("malformed", "a simulated sealed blob has no parameters", {
          kind: this.kind,
        });
      },
      foreignHint: "another simulation/sealing_root made this: restore that file, or recover with" +
        " a recovery key",
      random: deps.random,
      assertOpen,
    });
  }

  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return (await this.#measure()).slice();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#sealingKeys.clear();
    this.#root.fill(0);
    this.#counterKey.fill(0);
    return Promise.resolve();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the simulated TEE was closed", { kind: this.kind });
    }
  }

  #signerId(): Bytes {
    return this.#signer.spki.slice(-PUBLIC_KEY_LENGTH);
  }

  #measure(): Promise<Bytes> {
    this.#measurement ??= this.#deps.measureProgram().then((measurement) => {
      if (measurement.length === MEASUREMENT_LENGTH) return measurement;
      throw new BackendError("malformed", `a measurement of ${measurement.length} bytes`, {
        kind: this.kind,
      });
    });
    return this.#measurement;
  }

  #sealingKey(policy: SealPolicy): Promise<SealingKey> {
    let key = this.#sealingKeys.get(policy);
    if (key === undefined) {
      key = this.#makeSealingKey(policy);
      this.#sealingKeys.set(policy, key);
    }
    return key;
  }

  async #makeSealingKey(policy: SealPolicy): Promise<SealingKey> {
    const identity = policy === "measurement" ? await this.#measure() : this.#signerId();
    this.#assertOpen();
    return await this.#deriveSealingKey(policy, identity);
  }

  async #deriveSealingKey(policy: SealPolicy, identity: Bytes): Promise<SealingKey> {
    const secret = derive(this.#root, `seal by ${policy}`, identity);
    try {
      return await importSealingKey(secret);
    } finally {
      secret.fill(0);
    }
  }

  #makeAttestationKey(
    measurement: Bytes,
  ): { key: KeyObject; publicKey: Bytes; certificate: Bytes } {
    const { key, spki } = ed25519Key(derive(this.#root, "attestation key", measurement));
    const publicKey = spki.slice(-PUBLIC_KEY_LENGTH);
    const certificate = signed(this.#signer.key, certificateInput(publicKey, measurement));
    return { key, publicKey, certificate };
  }

  async #attest(reportData: Bytes): Promise<Evidence> {
    this.#assertOpen();
    if (reportData.length !== REPORT_DATA_LENGTH) {
      throw new BackendError(
        "report_data_length",
        `report data is ${reportData.length} bytes, exactly ${REPORT_DATA_LENGTH} are wanted`,
        { kind: this.kind },
      );
    }
    const reported = reportData.slice(); // the caller may change its buffer while we wait
    const measurement = await this.#measure();
    this.#assertOpen();
    const attestation = this.#attestationKey ??= this.#makeAttestationKey(measurement);
    const data = encodeEvidence({
      bootId: this.#bootId,
      issuedAt: this.#deps.clock(),
      measurement,
      reportData: reported,
      attestationKey: attestation.publicKey,
      certificate: attestation.certificate,
      signature: new Uint8Array(SIGNATURE_LENGTH),
    });
    data.set(signed(attestation.key, evidenceInput(data)), data.length - SIGNATURE_LENGTH);
    return {
      mediaType: EVIDENCE_MEDIA_TYPE.SIMULATION,
      data,
      endorsements: [{ type: ROOT_ENDORSEMENT, data: this.#signer.spki.slice() }],
    };
  }
}

/** The factory that mode `simulation` means. */
export function createSimulationFactory(deps: SimulationDeps): BackendFactory {
  return {
    kind: "SIMULATION",
    securityLevel: 1,
    probe: () =>
      Promise.resolve({
        available: true,
        signals: [],
        reason: "the simulation runs anywhere, and protects nothing",
      }),
    async open(config) {
      const { dataDir, create } = decodeBackendConfig("SIMULATION", ConfigSchema, config);
      const folder = `${dataDir.replace(/\/+$/, "")}/simulation`;
      const root = await openSealingRoot(folder, create, deps.random);
      return new SimulationBackend(folder, root, deps);
    },
  };
}
