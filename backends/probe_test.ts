import { assert, assertEquals, assertRejects } from "@std/assert";
import { BackendError } from "./errors.ts";
import { type HardwareDeps, hardwareFactories } from "./hardware.ts";
import type { ProbeResult, TeeType } from "./mod.ts";
import { createProbeHost, type ProbeHost } from "./probe.ts";

/** Probing starts no Worker and draws nothing. */
function hardwareDeps(host: ProbeHost): HardwareDeps {
  const never = (): never => {
    throw new Error("not while probing");
  };
  return { host, spawnWorker: never, random: never, clock: never };
}

/** Lays out `files` (a trailing slash makes a folder) below a root and probes `kind` there. */
async function probe(
  kind: TeeType,
  files: Readonly<Record<string, string>>,
  arch: ProbeHost["arch"] = "x86_64",
): Promise<ProbeResult & { open: () => Promise<unknown>; cleanUp: () => Promise<void> }> {
  const root = await Deno.makeTempDir({ prefix: "nautilus-probe-" });
  for (const [path, text] of Object.entries(files)) {
    await Deno.mkdir(root + path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (!path.endsWith("/")) await Deno.writeTextFile(root + path, text);
  }
  const factory = hardwareFactories(hardwareDeps(createProbeHost(root, arch)))
    .find((candidate) => candidate.kind === kind);
  assert(factory);
  const result = await factory.probe();
  return {
    ...result,
    open: () => factory.open({}),
    cleanUp: () => Deno.remove(root, { recursive: true }),
  };
}

const LIB = "/usr/lib/x86_64-linux-gnu";
const TSM = "/sys/kernel/config/tsm/report";
const TDX_CPU = "processor\t: 0\nflags\t\t: fpu tdx_guest sse\n";

const cases: readonly {
  kind: TeeType;
  what: string;
  files: Record<string, string>;
  arch?: ProbeHost["arch"];
  available: boolean;
  says: string;
}[] = [
  { kind: "SEV", what: "nothing", files: {}, available: false, says: "no /dev/sev-guest" },
  {
    kind: "SEV",
    what: "guest device",
    files: { "/dev/sev-guest": "" },
    available: true,
    says: "/dev/sev-guest",
  },
  {
    kind: "SEV",
    what: "host device",
    files: { "/dev/sev": "" },
    available: false,
    says: "host, not a guest",
  },
  {
    kind: "SEV",
    what: "host module parameter",
    files: { "/sys/module/kvm_amd/parameters/sev": "Y\n" },
    available: false,
    says: "no /dev/sev-guest",
  },
  {
    kind: "SEV",
    what: "platform device without driver",
    files: { "/sys/devices/platform/sev-guest/": "" },
    available: false,
    says: "without /dev/sev-guest",
  },
  {
    kind: "SEV",
    what: "configfs-tsm of its provider",
    files: { [`${TSM}/x/provider`]: "sev_guest\n" },
    available: false,
    says: "without /dev/sev-guest",
  },
  {
    kind: "SEV",
    what: "configfs-tsm of another provider",
    files: { [`${TSM}/x/provider`]: "tdx_guest\n" },
    available: false,
    says: "no /dev/sev-guest",
  },
  {
    kind: "SEV",
    what: "another processor",
    files: { "/dev/sev-guest": "" },
    arch: "aarch64",
    available: false,
    says: "x86-64",
  },
  { kind: "SGX", what: "nothing", files: {}, available: false, says: "/dev/sgx_enclave" },
  {
    kind: "SGX",
    what: "Gramine with DCAP",
    files: { "/dev/attestation/attestation_type": "dcap\n" },
    available: true,
    says: "Gramine",
  },
  {
    kind: "SGX",
    what: "Gramine without attestation",
    files: { "/dev/attestation/attestation_type": "none" },
    available: false,
    says: "attestation type is none",
  },
  {
    kind: "SGX",
    what: "device without runtime",
    files: { "/dev/sgx_enclave": "" },
    available: false,
    says: "no libsgx_urts",
  },
  {
    kind: "SGX",
    what: "runtime without device",
    files: { [`${LIB}/libsgx_urts.so.2`]: "" },
    available: false,
    says: "none of",
  },
  {
    kind: "SGX",
    what: "runtime without quoting library",
    files: { "/dev/sgx_enclave": "", [`${LIB}/libsgx_urts.so.2`]: "" },
    available: false,
    says: "no libsgx_dcap_ql",
  },
  {
    kind: "SGX",
    what: "runtime without our enclave",
    files: {
      "/dev/sgx_enclave": "",
      [`${LIB}/libsgx_urts.so.2`]: "",
      [`${LIB}/libsgx_dcap_ql.so.1`]: "",
      "/usr/lib/nautilus/libnautilus_sgx.so": "",
    },
    available: false,
    says: "no /usr/lib/nautilus/nautilus_enclave.signed.so",
  },
  {
    kind: "SGX",
    what: "device of the older driver, runtime, quoting library and enclave",
    files: {
      "/dev/sgx/enclave": "",
      [`${LIB}/libsgx_urts.so.1`]: "",
      [`${LIB}/libsgx_dcap_ql.so.1`]: "",
      "/usr/lib/nautilus/libnautilus_sgx.so": "",
      "/usr/lib/nautilus/nautilus_enclave.signed.so": "",
    },
    available: true,
    says: "/dev/sgx/enclave",
  },
  {
    kind: "TrustZone",
    what: "nothing",
    files: {},
    arch: "aarch64",
    available: false,
    says: "no /dev/tee0",
  },
  {
    kind: "TrustZone",
    what: "AMD's device of that name",
    files: { "/dev/tee0": "" },
    available: false,
    says: "AMD",
  },
  {
    kind: "TrustZone",
    what: "device without library",
    files: { "/dev/tee0": "" },
    arch: "aarch64",
    available: false,
    says: "no libteec",
  },
  {
    kind: "TrustZone",
    what: "device and the older library",
    files: { "/dev/tee0": "", "/usr/lib/aarch64-linux-gnu/libteec.so.1": "" },
    arch: "aarch64",
    available: true,
    says: "libteec.so.1",
  },
  { kind: "TDX", what: "nothing", files: {}, available: false, says: "no /dev/tdx_guest" },
  {
    kind: "TDX",
    what: "device without quotes",
    files: { "/dev/tdx_guest": "" },
    available: false,
    says: "no configfs-tsm",
  },
  {
    kind: "TDX",
    what: "CPU flag without driver",
    files: { "/proc/cpuinfo": TDX_CPU },
    available: false,
    says: "without /dev/tdx_guest",
  },
  {
    kind: "TDX",
    what: "device and configfs-tsm",
    files: { "/dev/tdx_guest": "", [`${TSM}/`]: "" },
    available: true,
    says: "configfs-tsm",
  },
  { kind: "NITRO", what: "nothing", files: {}, available: false, says: "no /dev/nsm" },
  {
    kind: "NITRO",
    what: "the parent's device",
    files: { "/dev/nitro_enclaves": "" },
    available: false,
    says: "parent instance",
  },
  {
    kind: "NITRO",
    what: "enclave device",
    files: { "/dev/nsm": "" },
    available: true,
    says: "/dev/nsm",
  },
];

for (const { kind, what, files, arch, available, says } of cases) {
  Deno.test(`${kind} probe() with ${what} says ${available ? "yes" : "no"} and why`, async () => {
    const result = await probe(kind, files, arch);
    assertEquals(result.available, available, result.reason);
    assert(result.reason.includes(says), result.reason);
    assert(result.signals.length > 0);
    if (!available && (kind === "SGX" || kind === "TrustZone")) {
      const error = await assertRejects(result.open, BackendError);
      assertEquals(error.code, "unavailable");
      assertEquals(error.kind, kind);
    }
    await result.cleanUp();
  });
}

Deno.test("probe() of this very host never throws", async () => {
  for (const factory of hardwareFactories(hardwareDeps(createProbeHost()))) {
    const result = await factory.probe();
    assert(result.reason !== "", factory.kind);
  }
});
