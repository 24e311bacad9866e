/**
 * AWS Nitro Enclaves from inside the enclave: documents of the security module. There is no sealing
 * key, and an enclave has neither disk nor network of its own.
 */
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import { openIoctlDevice, type SpawnWorker } from "../ffi/device.ts";
import type { Attester, BackendFactory, Bytes, ProbeResult, TeeBackend } from "../mod.ts";
import { found, notFound, pathSignal, type ProbeHost } from "../probe.ts";
import { parseDocument } from "./abi.ts";
import { createNsmDevice, type NsmDevice } from "./device.ts";

export const NSM_DEVICE = "/dev/nsm";
/** The parent instance's side: it starts enclaves and is none. */
const PARENT_DEVICE = "/dev/nitro_enclaves";

/** The security module's device; the parent's counts for nothing. */
export async function probeNitro(host: ProbeHost): Promise<ProbeResult> {
  const [device, parent] = await Promise.all([
    pathSignal(host, NSM_DEVICE),
    pathSignal(host, PARENT_DEVICE),
  ]);
  const signals = [device, parent];
  if (device.present) return found(signals, `${NSM_DEVICE} is there`);
  if (parent.present) {
    return notFound(
      signals,
      `${PARENT_DEVICE} makes this a parent instance, not an enclave`,
      "build an enclave image and run it with nitro-cli",
    );
  }
  return notFound(signals, `no ${NSM_DEVICE}: this is no Nitro enclave`);
}

export interface NitroBackendDeps {
  readonly host: ProbeHost;
  readonly spawnWorker: SpawnWorker;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const ConfigSchema = v.strictObject({
  device: v.optional(v.pipe(v.string(), v.startsWith("/")), NSM_DEVICE),
  /** A library in the place of glibc, for machines that cannot mount a fake device. */
  libc: v.optional(v.pipe(v.string(), v.startsWith("/"))),
});

class NitroBackend implements TeeBackend {
  readonly kind = "NITRO";
  readonly securityLevel = 3;
  readonly covers = "program";
  readonly sealer = undefined;
  readonly attester: Attester;
  readonly counter = undefined;
  readonly #device: NsmDevice;
  readonly #pcr0: Bytes;
  #closed = false;

  constructor(device: NsmDevice, pcr0: Bytes, clock: () => number) {
    this.#device = device;
    this.#pcr0 = pcr0;
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen: () => this.#assertOpen(),
      make: async (reportData) => {
        const data = await this.#device.attestation(reportData);
        const { userData } = parseDocument(data);
        if (userData?.toHex() !== reportData.toHex()) {
          throw new BackendError("malformed", "the document carries other user data", {
            kind: this.kind,
          });
        }
        return { mediaType: EVIDENCE_MEDIA_TYPE.NITRO, data, endorsements: [] };
      },
    });
  }

  /** PCR0: the enclave image. Zeros in debug mode. */
  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#pcr0.slice();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#device[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the Nitro backend was closed", { kind: this.kind });
    }
  }
}

export function createNitroFactory(deps: NitroBackendDeps): BackendFactory {
  return {
    kind: "NITRO",
    securityLevel: 3,
    probe: () => probeNitro(deps.host),
    async open(config) {
      const decoded = decodeBackendConfig("NITRO", ConfigSchema, config ?? {});
      const { device: path, libc } = decoded;
      const { spawnWorker, clock } = deps;
      const device = createNsmDevice(
        await openIoctlDevice({ kind: "NITRO", path, libc, spawnWorker }),
      );
      try {
        const { data } = await device.describePcr(0);
        return new NitroBackend(device, data, clock);
      } catch (error) {
        await device[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}
