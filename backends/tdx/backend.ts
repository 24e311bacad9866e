/**
 * Intel TDX from inside the trust domain: quotes by configfs-tsm, what this TD is by its device.
 * There is no sealing key: keys come by the recovery key, or from a peer.
 */
import * as v from "valibot";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { decodeBackendConfig } from "../backend_config.ts";
import { BackendError } from "../errors.ts";
import { createCachedAttester } from "../evidence_cache.ts";
import { type IoctlDevice, openIoctlDevice, type SpawnWorker } from "../ffi/device.ts";
import { errnoName } from "../ffi/errno.ts";
import type { Attester, BackendFactory, Bytes, ProbeResult, TeeBackend } from "../mod.ts";
import {
  cpuFlagSignal,
  found,
  notFound,
  pathSignal,
  type ProbeHost,
  TSM_REPORT_PATH,
  tsmSignal,
} from "../probe.ts";
import { createTsmClient, type TsmClient } from "../tsm.ts";
import { decodeTdxQuote } from "./abi.ts";
import { readEventLog } from "./event_log.ts";
import {
  decodeReportAnswer,
  encodeReportRequest,
  type LocalTdReport,
  TDX_CMD_GET_REPORT0,
} from "./ioctl_abi.ts";

export const TDX_GUEST_DEVICE = "/dev/tdx_guest";
const EVENT_LOG = "/sys/firmware/acpi/tables/data/CCEL";

/** The guest device or CPU flag say that this is a TD; quotes need configfs-tsm besides. */
export async function probeTdx(host: ProbeHost): Promise<ProbeResult> {
  const [device, flag, tsm] = await Promise.all([
    pathSignal(host, TDX_GUEST_DEVICE),
    cpuFlagSignal(host, "tdx_guest"),
    tsmSignal(host),
  ]);
  const signals = [device, flag, tsm];
  if (host.arch !== "x86_64") return notFound(signals, `TDX is of x86-64, not ${host.arch}`);
  if (!device.present && !flag.present && tsm.provider !== "tdx_guest") {
    return notFound(signals, `no ${TDX_GUEST_DEVICE}: this is no TDX guest`);
  }
  if (!device.present) {
    return notFound(
      signals,
      `this is a TDX guest without ${TDX_GUEST_DEVICE}`,
      "load the driver: modprobe tdx-guest",
    );
  }
  if (!tsm.present) {
    return notFound(
      signals,
      `${TDX_GUEST_DEVICE} is there, but no configfs-tsm to get quotes from`,
      "use Linux >= 6.7 and mount configfs: mount -t configfs none /sys/kernel/config",
    );
  }
  return found(signals, `${TDX_GUEST_DEVICE} and configfs-tsm are there`);
}

export interface TdxBackendDeps {
  readonly host: ProbeHost;
  readonly spawnWorker: SpawnWorker;
  readonly random: (length: number) => Bytes;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
}

const ConfigSchema = v.strictObject({
  /** The guest device. */
  device: v.optional(v.pipe(v.string(), v.startsWith("/")), TDX_GUEST_DEVICE),
  /** A library in the place of glibc, for machines that cannot mount a fake device. */
  libc: v.optional(v.pipe(v.string(), v.startsWith("/"))),
  /** The folder `report` of configfs-tsm. */
  tsm: v.optional(v.pipe(v.string(), v.startsWith("/")), TSM_REPORT_PATH),
  /** The event log that the firmware left, handed along with evidence where it is there. */
  eventLog: v.optional(v.pipe(v.string(), v.startsWith("/")), EVENT_LOG),
});

/** Asks the device what this TD is. */
async function localReport(device: IoctlDevice, reportData: Bytes): Promise<LocalTdReport> {
  const { errno, buffers: [answer] } = await device.ioctl({
    request: TDX_CMD_GET_REPORT0,
    buffers: [encodeReportRequest(reportData)],
    links: [],
  });
  if (errno !== 0) {
    const name = errnoName(errno);
    const lost = name === "ENOTTY" || name === "ENODEV" || name === "ENXIO";
    throw new BackendError(lost ? "device_lost" : "io", `TDX_CMD_GET_REPORT0: ${name}`, {
      kind: "TDX",
      nativeStatus: { name, value: errno },
      hint: "the TDX module refused a report: see the guest's kernel log",
    });
  }
  return decodeReportAnswer(answer ?? new Uint8Array(0), reportData);
}

class TdxBackend implements TeeBackend {
  readonly kind = "TDX";
  readonly securityLevel = 3;
  readonly covers = "image";
  readonly sealer = undefined;
  readonly attester: Attester;
  readonly counter = undefined;
  readonly #mrTd: Bytes;
  readonly #tsm: TsmClient;
  readonly #eventLog: string;
  #closed = false;

  constructor(options: {
    mrTd: Bytes;
    tsm: TsmClient;
    eventLog: string;
    clock: () => number;
  }) {
    const { clock } = options;
    this.#mrTd = options.mrTd;
    this.#tsm = options.tsm;
    this.#eventLog = options.eventLog;
    this.attester = createCachedAttester({
      kind: this.kind,
      clock,
      assertOpen: () => this.#assertOpen(),
      make: async (reportData) => {
        const { outblob } = await this.#tsm.report(reportData);
        this.#check(outblob, reportData);
        const log = await readEventLog(this.#eventLog);
        return {
          mediaType: EVIDENCE_MEDIA_TYPE.TDX,
          data: outblob,
          endorsements: log === undefined ? [] : [{ type: "ccel", data: log }],
        };
      },
    });
  }

  /** MRTD: what was loaded before the TD ran. RTMRs are in the evidence. */
  // deno-lint-ignore require-await -- a failure is a rejection, as in every backend
  async measurement(): Promise<Bytes> {
    this.#assertOpen();
    return this.#mrTd.slice();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new BackendError("closed", "the TDX backend was closed", { kind: this.kind });
    }
  }

  #check(bytes: Bytes, reportData: Bytes): void {
    const { report } = decodeTdxQuote(bytes);
    const problem = report.reportData.toHex() !== reportData.toHex()
      ? "other report data than was asked for"
      : report.mrTd.toHex() !== this.#mrTd.toHex()
      ? "another MRTD than the device reports"
      : undefined;
    if (problem === undefined) return;
    throw new BackendError("malformed", `the quote carries ${problem}`, {
      kind: this.kind,
      hint: "the quoting service is not what it claims, or somebody writes into configfs-tsm",
    });
  }
}

export function createTdxFactory(deps: TdxBackendDeps): BackendFactory {
  return {
    kind: "TDX",
    securityLevel: 3,
    probe: () => probeTdx(deps.host),
    async open(config) {
      const decoded = decodeBackendConfig("TDX", ConfigSchema, config ?? {});
      const { device: path, libc, tsm: tsmPath, eventLog } = decoded;
      const { random, spawnWorker, clock } = deps;
      await using device = await openIoctlDevice({ kind: "TDX", path, libc, spawnWorker });
      const { mrTd } = await localReport(device, random(64));
      const tsm = createTsmClient({ kind: "TDX", path: tsmPath, provider: "tdx_guest", random });
      return new TdxBackend({ mrTd, tsm, eventLog, clock });
    },
  };
}
