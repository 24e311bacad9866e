/** AMD SEV-SNP from inside the guest: reports, derived keys for sealing, both by the firmware. */
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import { openIoctlDevice, type SpawnWorker } from "../ffi/device.ts";
import type { BackendFactory, Bytes, Evidence, ProbeResult, Sealer, TeeBackend } from "../mod.ts";
import {
  found,
  notFound,
  pathSignal,
  type ProbeHost,
  TSM_REPORT_PATH,
  tsmSignal,
} from "../probe.ts";
import { createSealer } from "../sealer.ts";
import { importSealingKey, type SealingKey } from "../sealing.ts";
import { createTsmClient } from "../tsm.ts";
import { parseCertificateTable, parseReport, type SnpReport } from "./abi.ts";
import { createSnpGuestDevice, type SnpGuestDevice, type SnpGuestReport } from "./device.ts";
import type { DerivedKeyRequest } from "./ioctl_abi.ts";
import { encodeParameters, keyRequest, keyRequestAgain } from "./seal_key.ts";

export const SEV_GUEST_DEVICE = "/dev/sev-guest";
const PLATFORM_DEVICE = "/sys/devices/platform/sev-guest";
/** The host's side. Present on the machine that runs guests, and no sign of being one. */
const HOST_DEVICE = "/dev/sev";
const VMPL_FILE = "/sys/devices/system/cpu/sev/vmpl";

/** Guest signals of SEV-SNP; `/dev/sev` and kvm_amd's parameters are the host's and count for nothing. */
export async function probeSevSnp(host: ProbeHost): Promise<ProbeResult> {
  const [device, platform, tsm, hostDevice] = await Promise.all([
    pathSignal(host, SEV_GUEST_DEVICE),
    pathSignal(host, PLATFORM_DEVICE),
    tsmSignal(host),
    pathSignal(host, HOST_DEVICE),
  ]);
  const signals = [device, platform, tsm, hostDevice];
  if (host.arch !== "x86_64") return notFound(signals, `SEV-SNP is of x86-64, not ${host.arch}`);
  if (device.present) return found(signals, `${SEV_GUEST_DEVICE} is there`);
  if (platform.present || tsm.provider === "sev_guest") {
    return notFound(
      signals,
      `this is an SEV-SNP guest without ${SEV_GUEST_DEVICE}`,
      "load the driver: modprobe sev-guest",
    );
  }
  if (hostDevice.present) {
    return notFound(
      signals,
      `${HOST_DEVICE} makes this an SEV host, not a guest`,
      "run the master inside an SEV-SNP guest of this host",
    );
  }
  return notFound(signals, `no ${SEV_GUEST_DEVICE}: this is no SEV-SNP guest`);
}

export interface SevSnpBackendDeps {
  readonly host: ProbeHost;
  readonly spawnWorker: SpawnWorker;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

/** What `open` takes; every field has a default, unknown ones are refused. */
export interface SevSnpConfig {
  /** The guest device. */
  readonly device: string;
  /** A library in the place of glibc, for machines that cannot mount a fake device. */
  readonly libc: string | undefined;
  /** The folder `report` of configfs-tsm. */
  readonly tsm: string;
  /** Where reports come from. `auto`: configfs-tsm where it is there, else the device. */
  readonly reports: "auto" | "tsm" | "ioctl";
  /** 0 to 3; undefined: what the kernel says, else 0. */
  readonly vmpl: number | undefined;
  /**
   * Offers policy `signer` where the guest was launched with an ID block. The firmware mixes the
   * block's family and image ids into the key and not who signed it: only where nobody but the
   * operator can launch guests on this chip does that mean "the same signer".
   */
  readonly trustIdBlock: boolean;
}

const ConfigSchema = v.strictObject({
  device: v.optional(v.pipe(v.string(), v.startsWith("/")), SEV_GUEST_DEVICE),
  libc: v.optional(v.pipe(v.string(), v.startsWith("/"))),
  tsm: v.optional(v.pipe(v.string(), v.startsWith("/")), TSM_REPORT_PATH),
  reports: v.optional(v.picklist(["auto", "tsm", "ioctl"]), "auto"),
  vmpl: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(3))),
  trustIdBlock: v.optional(v.boolean(), false),
});

function decodeConfig(config: unknown): SevSnpConfig {
  const decoded = decodeBackendConfig("SEV", ConfigSchema, config ?? {});
  return { ...decoded, vmpl: decoded.vmpl, libc: decoded.libc };
}

type ReportSource = (userData: Bytes) => Promise<SnpGuestReport>;

class SevSnpBackend implements TeeBackend {
  readonly kind = "SEV";
  readonly securityLevel = 2;
  readonly covers = "image";
  readonly sealer: Sealer;
  readonly attester: TeeBackend["attester"];
  readonly counter = undefined;
  readonly #device: SnpGuestDevice;
  readonly #reports: ReportSource;
  readonly #launch: SnpReport;
  readonly #keys = new Map<string, Promise<SealingKey>>();
  #closed = false;

  constructor(options: {
    device: SnpGuestDevice;
    reports: ReportSource;
    launch: SnpReport;
    vmpl: number;
    trustIdBlock: boolean;
    random: (length: number) => Bytes;
    clock: () => number;
  }) {
    this.#device = options.device;
    this.#reports = options.reports;
    this.#launch = options.launch;
    const { launch, vmpl, clock } = options;
    const hasIdBlock = launch.idKeyDigest.some((byte) => byte !== 0);
    const assertOpen = (): void => this.#assertOpen();
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      make: (reportData) => this.#attest(reportData),
      assertOpen,
    });
    this.sealer = createSealer({
      kind: this.kind,
      policies: hasIdBlock && options.trustIdBlock ? ["measurement", "signer"] : ["measurement"],
      whyNot: () =>
        hasIdBlock
          ? "the firmware does not bind keys to who signed the ID block; trustIdBlock accepts that"
          : "this guest was launched without an ID block",
      identity: (policy) =>
        Promise.resolve(
          policy === "measurement"
            ? { value: launch.measurement.slice(), mismatch: "measurement_mismatch" }
            : { value: signerIdentity(launch), mismatch: "signer_mismatch" },
        ),
      derive: async (policy) => {
        const request = keyRequest(policy, launch, vmpl);
        return { key: await this.#key(request), parameters: encodeParameters(request) };
      },
      rederive: async (policy, parameters) =>
        await this.#key(keyRequestAgain(policy, parameters, launch)),
      foreignHint: "another chip, another guest policy, or a chip key that changed with its " +
        "firmware: recover with a recovery key (docs/KEYS.md)",
      random: options.random,
      assertOpen,
    });
  }

  measurement(): Promise<Bytes> {
    try {
      this.#assertOpen();
      return Promise.resolve(this.#launch.measurement.slice());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#keys.clear();
    await this.#device[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the SEV-SNP backend was closed", { kind: this.kind });
    }
  }

  /** Derived once a request: the same answer, and the security processor is slow and shared. */
  #key(request: DerivedKeyRequest): Promise<SealingKey> {
    const id = `${request.fields}:${encodeParameters(request).toHex()}`;
    let key = this.#keys.get(id);
    if (key === undefined) {
      key = this.#derive(request);
      this.#keys.set(id, key);
      key.catch(() => this.#keys.delete(id)); // the next caller asks again
    }
    return key;
  }

  async #derive(request: DerivedKeyRequest): Promise<SealingKey> {
    const secret = await this.#device.derivedKey(request);
    try {
      return await importSealingKey(secret);
    } finally {
      secret.fill(0);
    }
  }

  async #attest(reportData: Bytes): Promise<Evidence> {
    const { report, certificateTable } = await this.#reports(reportData);
    const parsed = checkedReport(report, reportData);
    if (parsed.measurement.toHex() !== this.#launch.measurement.toHex()) {
      throw new BackendError("malformed", "the measurement changed while the guest ran", {
        kind: this.kind,
      });
    }
    if (certificateTable.length > 0) parseCertificateTable(certificateTable);
    return {
      mediaType: EVIDENCE_MEDIA_TYPE.SEV,
      data: report,
      endorsements: certificateTable.length === 0
        ? []
        : [{ type: "certificate-table", data: certificateTable }],
    };
  }
}

/** family id ‖ image id: what the firmware mixes in under policy `signer`. */
function signerIdentity({ familyId, imageId }: SnpReport): Bytes {
  const out = new Uint8Array(32);
  out.set(familyId);
  out.set(imageId, 16);
  return out;
}

/** @throws {BackendError} `malformed` for a report of other length, or for other report data. */
function checkedReport(bytes: Bytes, reportData: Bytes): SnpReport {
  const report = parseReport(bytes);
  if (report.reportData.toHex() !== reportData.toHex()) {
    throw new BackendError("malformed", "the report carries other report data than was asked for", {
      kind: "SEV",
      hint: "the device is not what it claims, or somebody writes into configfs-tsm",
    });
  }
  return report;
}

async function reportSource(
  config: SevSnpConfig,
  device: SnpGuestDevice,
  vmpl: number,
  deps: SevSnpBackendDeps,
): Promise<ReportSource> {
  const useTsm = config.reports === "tsm" ||
    (config.reports === "auto" && (await deps.host.look(config.tsm)).present);
  if (!useTsm) return (userData) => device.report(userData, vmpl);
  const tsm = createTsmClient({
    kind: "SEV",
    path: config.tsm,
    provider: "sev_guest",
    random: deps.random,
  });
  return async (userData) => {
    const { outblob, auxblob } = await tsm.report(userData, vmpl);
    return { report: outblob, certificateTable: auxblob };
  };
}

export function createSevSnpFactory(deps: SevSnpBackendDeps): BackendFactory {
  return {
    kind: "SEV",
    securityLevel: 2,
    probe: () => probeSevSnp(deps.host),
    async open(config) {
      const checked = decodeConfig(config);
      const vmplText = (await deps.host.readText(VMPL_FILE))?.trim() ?? "";
      const vmpl = checked.vmpl ?? (/^[0-3]$/.test(vmplText) ? Number(vmplText) : 0);
      const device = createSnpGuestDevice(
        await openIoctlDevice({
          kind: "SEV",
          path: checked.device,
          libc: checked.libc,
          spawnWorker: deps.spawnWorker,
        }),
      );
      try {
        const reports = await reportSource(checked, device, vmpl, deps);
        const reportData = deps.random(64);
        const launch = checkedReport((await reports(reportData)).report, reportData);
        const { random, clock } = deps;
        const { trustIdBlock } = checked;
        return new SevSnpBackend({ device, reports, launch, vmpl, trustIdBlock, random, clock });
      } catch (error) {
        await device[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}
