import * as v from "valibot";
import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import {
  type FakeDirectory,
  type FakeNode,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { serveSubstitute, substituteUnavailable } from "../../tests/fakes/ioctl/server.ts";
import { makeSevGuest } from "../../tests/fakes/sev_snp/device.ts";
import {
  type FakeFirmware,
  type GuestSpec,
  makeFirmware,
  PLAIN_GUEST,
} from "../../tests/fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../../tests/fakes/sev_snp/pki.ts";
import { makeTsm } from "../../tests/fakes/tsm.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import type { Bytes } from "../mod.ts";
import { SevSnpSection } from "../policy/sev_snp.ts";
import { createProbeHost } from "../probe.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { parseReport } from "./abi.ts";
import { createSevSnpVerifier } from "./appraise.ts";
import { createSevSnpFactory } from "./backend.ts";

const why = fuseUnavailable();
const now = Date.now();
let pki: ReturnType<typeof makeAmdTestPki> | undefined;

/** Trusts the test hierarchy and wants our measurement; there is no CRL of that hierarchy. */
const POLICY = v.parse(SevSnpSection, {
  measurements: ["01".repeat(48)],
  minimumTcb: { Milan: { bootloader: 4, tee: 0, snp: 23, microcode: 210 } },
  crl: "if_given",
  certificates: "any",
});

const WITH_ID_BLOCK: GuestSpec = { ...PLAIN_GUEST, idKeyDigest: new Uint8Array(48).fill(0x1d) };

function folder(firmware: FakeFirmware): FakeDirectory {
  const tsm = makeTsm({
    name: "sev_guest",
    privilegeLevels: true,
    quote: async (inblob, level) => {
      const userData = new Uint8Array(64);
      userData.set(inblob);
      const { report } = await firmware.report(userData, level);
      return { outblob: report, auxblob: firmware.certificateTable };
    },
  });
  return {
    type: "directory",
    entries: new Map<string, FakeNode>([
      ["sev-guest", makeSevGuest(firmware).file],
      ["report", tsm.directory],
    ]),
  };
}

/** Where the devices are: below a FUSE mount, or behind a library in the place of libc. */
interface Devices extends AsyncDisposable {
  readonly path: string;
  readonly libc?: string;
  /** Of the device in the folder of a machine. */
  readonly name: string;
}

const byFuse = async (root: FakeDirectory): Promise<Devices> => {
  const mount = await mountFuse(root);
  const dispose = () => mount[Symbol.asyncDispose]();
  return { path: mount.path, name: "/sev-guest", [Symbol.asyncDispose]: dispose };
};

const bySubstitute = async (root: FakeDirectory): Promise<Devices> => {
  const files = [...root.entries].flatMap(([name, machine]) => {
    const file = machine.type === "directory" ? machine.entries.get("sev-guest") : undefined;
    return file?.type === "file" ? [[name, file] as const] : [];
  });
  const devices = await serveSubstitute(Object.fromEntries(files));
  const { path, libc } = devices;
  const dispose = () => devices[Symbol.asyncDispose]();
  return { path, libc, name: "", [Symbol.asyncDispose]: dispose };
};

function suite(
  name: string,
  reports: "ioctl" | "tsm",
  guest: GuestSpec,
  make: (root: FakeDirectory) => Promise<Devices>,
  why: string | undefined,
): void {
  const trustIdBlock = guest !== PLAIN_GUEST;
  backendSuite(name, async () => {
    const testPki = await (pki ??= makeAmdTestPki(now));
    const root: FakeDirectory = { type: "directory", entries: new Map() };
    for (const device of [1, 2]) {
      for (const program of [1, 2]) {
        const firmware = await makeFirmware({
          pki: testPki,
          chipId: new Uint8Array(64).fill(device),
          guest: { ...guest, measurement: new Uint8Array(48).fill(program) },
        });
        root.entries.set(`${device}-${program}`, folder(firmware));
      }
    }
    const devices = await make(root);
    const verifier = createSevSnpVerifier({
      signatures: createWebCryptoVerifier(),
      cache: new X509Cache(),
      roots: testPki.roots,
    });
    const factory = createSevSnpFactory({
      host: createProbeHost(),
      spawnWorker,
      random: (length): Bytes => crypto.getRandomValues(new Uint8Array(length)),
      clock: Date.now,
    });
    return {
      open: ({ device = "this", program = "this" }: OpenOptions = {}) => {
        const at = `${devices.path}/${device === "this" ? 1 : 2}-${program === "this" ? 1 : 2}`;
        return factory.open({
          device: `${at}${devices.name}`,
          ...(devices.libc === undefined ? {} : { libc: devices.libc }),
          tsm: `${at}/report`,
          reports,
          vmpl: 0,
          trustIdBlock,
        });
      },
      reportDataOf: ({ data }) => parseReport(data).reportData.slice(),
      appraise: (evidence, expectedReportData) =>
        verifier.appraise({
          evidence,
          endorsements: [],
          expectedReportData,
          policy: { id: "conformance", digest: "", section: POLICY },
          now,
        }),
      [Symbol.asyncDispose]: () => devices[Symbol.asyncDispose](),
    };
  }, {
    measurementLength: 48,
    policies: trustIdBlock ? ["measurement", "signer"] : ["measurement"],
    counter: false,
    ...(why === undefined ? {} : { unavailable: why }),
  });
}

suite("SEV-SNP by ioctl", "ioctl", PLAIN_GUEST, byFuse, why);
suite("SEV-SNP by configfs-tsm, with an ID block", "tsm", WITH_ID_BLOCK, byFuse, why);
suite(
  "SEV-SNP by a substitute for libc",
  "ioctl",
  PLAIN_GUEST,
  bySubstitute,
  await substituteUnavailable(),
);
