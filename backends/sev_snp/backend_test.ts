import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type FakeDirectory,
  type FakeNode,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { type FakeSevGuest, makeSevGuest } from "../../tests/fakes/sev_snp/device.ts";
import {
  type FakeFirmware,
  type GuestSpec,
  makeFirmware,
  PLAIN_GUEST,
  TCB,
  type Tcb,
} from "../../tests/fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../../tests/fakes/sev_snp/pki.ts";
import { type FakeTsm, makeTsm } from "../../tests/fakes/tsm.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { Bytes, Sealer, TeeBackend } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { parseReport } from "./abi.ts";
import { createSevSnpFactory } from "./backend.ts";

const why = fuseUnavailable();
const aad = new Uint8Array(4);
const secret: Bytes = new TextEncoder().encode("secret");
let pki: ReturnType<typeof makeAmdTestPki> | undefined;

function random(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

interface Machine {
  readonly device: FakeSevGuest;
  readonly tsm: FakeTsm;
  readonly path: string;
  open(config?: Record<string, unknown>): Promise<TeeBackend>;
}

/** One guest on a fake chip, mounted while `job` runs. */
async function onMachine(
  options: { guest?: GuestSpec; tcb?: Tcb; change?: (firmware: FakeFirmware) => FakeFirmware },
  job: (machine: Machine) => Promise<void>,
): Promise<void> {
  const made = await makeFirmware({
    pki: await (pki ??= makeAmdTestPki(Date.now())),
    chipId: new Uint8Array(64).fill(9),
    ...(options.guest === undefined ? {} : { guest: options.guest }),
    ...(options.tcb === undefined ? {} : { tcb: options.tcb }),
  });
  const firmware = options.change?.(made) ?? made;
  const device = makeSevGuest(firmware);
  const tsm = makeTsm({
    name: "sev_guest",
    privilegeLevels: true,
    quote: async (inblob, level) => {
      const { report } = await firmware.report(inblob, level);
      return { outblob: report, auxblob: firmware.certificateTable };
    },
  });
  const root: FakeDirectory = {
    type: "directory",
    entries: new Map<string, FakeNode>([["sev-guest", device.file], ["report", tsm.directory]]),
  };
  await using mount = await mountFuse(root);
  const factory = createSevSnpFactory({
    host: createProbeHost(),
    spawnWorker,
    random,
    clock: Date.now,
  });
  await job({
    device,
    tsm,
    path: mount.path,
    open: (config = {}) =>
      factory.open({
        device: `${mount.path}/sev-guest`,
        tsm: `${mount.path}/report`,
        reports: "ioctl",
        vmpl: 0,
        ...config,
      }),
  });
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `SEV-SNP ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn,
  });
}

function sealerOf({ sealer }: TeeBackend): Sealer {
  assert(sealer);
  return sealer;
}

function attest(backend: TeeBackend, reportData: Bytes = random(64)) {
  assert(backend.attester);
  return backend.attester.attest(reportData);
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

test("keeps the firmware's own status on every documented failure, with a hint", () =>
  onMachine({}, async ({ device, open }) => {
    await using backend = await open();
    const cases: [
      { errno: number; fwError?: number; vmmError?: number },
      BackendErrorCode,
      string,
      number,
    ][] = [
      [{ errno: 5, fwError: 0x16 }, "firmware", "fw_error", 0x16],
      [{ errno: 5, fwError: 0x27 }, "firmware", "fw_error", 0x27],
      [{ errno: 5, fwError: 0x1 }, "firmware", "fw_error", 0x1],
      [{ errno: 5, fwError: 0xffffffff }, "io", "EIO", 5],
      [{ errno: 5, vmmError: 2 }, "throttled", "vmm_error", 2],
      [{ errno: 11 }, "throttled", "EAGAIN", 11],
      [{ errno: 110 }, "throttled", "ETIMEDOUT", 110],
      [{ errno: 25 }, "device_lost", "ENOTTY", 25],
      [{ errno: 19 }, "device_lost", "ENODEV", 19],
      [{ errno: 6 }, "device_lost", "ENXIO", 6],
      [{ errno: 22 }, "io", "EINVAL", 22],
      [{ errno: 14 }, "io", "EFAULT", 14],
      [{ errno: 12 }, "io", "ENOMEM", 12],
    ];
    for (const [fault, code, name, value] of cases) {
      device.fault = () => fault;
      const error = await refusal(() => attest(backend), code);
      assertEquals(error.nativeStatus, { name, value });
      assertEquals(error.kind, "SEV");
      if (code !== "io") assert(error.hint !== undefined, error.message);
    }
    device.fault = () => undefined;
    await attest(backend); // and recovers
  }));

test("names every status of the firmware that comes inside the answer", () =>
  onMachine({}, async ({ device, open }) => {
    await using backend = await open();
    for (let status = 1; status <= 0x27; status++) {
      device.fault = () => ({
        response: (response) => {
          new DataView(response.buffer).setUint32(0, status, true);
          return response;
        },
      });
      const error = await refusal(() => attest(backend), "firmware");
      assertEquals(error.nativeStatus, { name: "fw_error", value: status });
      await refusal(() => sealerOf(backend).seal(secret, "measurement", aad), "firmware");
    }
  }));

test("refuses garbage, short and foreign answers as malformed", () =>
  onMachine({}, async ({ device, open }) => {
    await using backend = await open();
    const size = (value: number) => (response: Uint8Array): Uint8Array => {
      new DataView(response.buffer).setUint32(4, value, true);
      return response;
    };
    const answers: ((response: Uint8Array) => Uint8Array)[] = [
      (response) => response.fill(0),
      size(0),
      size(1183),
      size(1185),
      size(0xffffffff),
      (response) => {
        response.fill(0xaa, 32 + 0x50, 32 + 0x90); // other report data
        return response;
      },
      (response) => {
        response.fill(0xaa, 32 + 0x90, 32 + 0xc0); // another measurement
        return response;
      },
    ];
    for (const response of answers) {
      device.fault = () => ({ response });
      await refusal(() => attest(backend), "malformed");
    }
    device.fault = () => ({ response: () => new Uint8Array(64) });
    await refusal(() => sealerOf(backend).seal(secret, "measurement", aad), "malformed");
  }));

test("does without the host's certificates where their table does not fit", () =>
  onMachine({
    change: (firmware) => ({ ...firmware, certificateTable: new Uint8Array(20_000) }),
  }, async ({ open }) => {
    await using backend = await open();
    assertEquals((await attest(backend)).endorsements, []);
  }));

test("refuses a certificate table that points outside of itself", () =>
  onMachine({
    change: (firmware) => {
      const table = firmware.certificateTable.slice();
      new DataView(table.buffer).setUint32(16, 0xfffffff0, true);
      return { ...firmware, certificateTable: table };
    },
  }, async ({ open }) => {
    await using backend = await open();
    await refusal(() => attest(backend), "malformed");
  }));

test("asks once for the same report data, and again after a failure", () =>
  onMachine({}, async ({ device, open }) => {
    await using backend = await open();
    const before = device.calls.length;
    const reportData = random(64);
    await Promise.all(Array.from({ length: 8 }, () => attest(backend, reportData)));
    await attest(backend, reportData);
    assertEquals(device.calls.length, before + 1);
    const other = random(64);
    device.fault = () => ({ errno: 110 });
    await refusal(() => attest(backend, other), "throttled");
    device.fault = () => undefined;
    assertEquals(parseReport((await attest(backend, other)).data).reportData, other);
  }));

test("keeps the event loop free while the security processor takes its time", () =>
  onMachine({}, async ({ device, open }) => {
    await using backend = await open();
    const gate = Promise.withResolvers<void>();
    device.fault = () => ({ until: gate.promise });
    let done = false;
    const evidence = attest(backend).then((value) => {
      done = true;
      return value;
    });
    const delays: number[] = [];
    for (let i = 0; i < 100; i++) {
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 1));
      delays.push(performance.now() - start);
    }
    assertEquals(done, false);
    gate.resolve();
    await evidence;
    const median = delays.sort((a, b) => a - b)[50] ?? Infinity;
    assert(median < 20, `a timer of 1 ms took ${median} ms at the median`);
  }));

test("disposed while a call is in the kernel, it ends the call with closed", () =>
  onMachine({}, async ({ device, open }) => {
    const backend = await open();
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    device.fault = () => {
      reached.resolve();
      return { until: gate.promise };
    };
    const pending = assertRejects(() => attest(backend), BackendError);
    await reached.promise;
    const disposed = backend[Symbol.asyncDispose]();
    gate.resolve();
    assertEquals((await pending).code, "closed");
    await disposed;
  }));

test("opens what it sealed after a firmware update, and not after a roll back", async () => {
  const newer: Tcb = { ...TCB, snp: TCB.snp + 1 };
  let sealedOld: Bytes = new Uint8Array(0), sealedNew: Bytes = new Uint8Array(0);
  await onMachine({}, async ({ open }) => {
    await using backend = await open();
    sealedOld = await sealerOf(backend).seal(secret, "measurement", aad);
  });
  await onMachine({ tcb: newer }, async ({ open }) => {
    await using backend = await open();
    assertEquals(await sealerOf(backend).unseal(sealedOld, aad), secret);
    sealedNew = await sealerOf(backend).seal(secret, "measurement", aad);
  });
  await onMachine({}, async ({ open }) => {
    await using backend = await open();
    const error = await refusal(() => sealerOf(backend).unseal(sealedNew, aad), "foreign_device");
    assert(error.message.includes("0400000000001"), error.message);
  });
});

test("under policy signer opens for a higher guest SVN, and not for a lower one", async () => {
  const guest = { ...PLAIN_GUEST, idKeyDigest: new Uint8Array(48).fill(1) };
  const later = { ...guest, guestSvn: guest.guestSvn + 1, measurement: new Uint8Array(48).fill(8) };
  const config = { trustIdBlock: true };
  let sealed: Bytes = new Uint8Array(0), sealedLater: Bytes = new Uint8Array(0);
  await onMachine({ guest }, async ({ open }) => {
    await using backend = await open(config);
    sealed = await sealerOf(backend).seal(secret, "signer", aad);
  });
  await onMachine({ guest: later }, async ({ open }) => {
    await using backend = await open(config);
    assertEquals(await sealerOf(backend).unseal(sealed, aad), secret);
    sealedLater = await sealerOf(backend).seal(secret, "signer", aad);
  });
  await onMachine({ guest }, async ({ open }) => {
    await using backend = await open(config);
    await refusal(() => sealerOf(backend).unseal(sealedLater, aad), "foreign_device");
  });
});

test("offers policy signer only with an ID block that the operator trusts", async () => {
  const guest = { ...PLAIN_GUEST, idKeyDigest: new Uint8Array(48).fill(1) };
  await onMachine({ guest }, async ({ open }) => {
    await using distrusting = await open();
    const error = await refusal(
      () => sealerOf(distrusting).seal(secret, "signer", aad),
      "policy_unsupported",
    );
    assert(error.message.includes("trustIdBlock"));
  });
  await onMachine({}, async ({ open }) => {
    await using without = await open({ trustIdBlock: true });
    assertEquals(sealerOf(without).policies, ["measurement"]);
  });
});

test("tells another signer from another guest policy", async () => {
  const guest = { ...PLAIN_GUEST, idKeyDigest: new Uint8Array(48).fill(1) };
  const config = { trustIdBlock: true };
  let bySigner: Bytes = new Uint8Array(0), byMeasurement: Bytes = new Uint8Array(0);
  await onMachine({ guest }, async ({ open }) => {
    await using backend = await open(config);
    bySigner = await sealerOf(backend).seal(secret, "signer", aad);
    byMeasurement = await sealerOf(backend).seal(secret, "measurement", aad);
  });
  const otherIds = { ...guest, imageId: new Uint8Array(16).fill(2) };
  await onMachine({ guest: otherIds }, async ({ open }) => {
    await using backend = await open(config);
    const error = await refusal(() => sealerOf(backend).unseal(bySigner, aad), "signer_mismatch");
    assert(error.message.includes("02".repeat(16)), error.message);
    assertEquals(await sealerOf(backend).unseal(byMeasurement, aad), secret);
  });
  await onMachine({ guest: { ...guest, policy: 0xb0000n } }, async ({ open }) => {
    await using backend = await open(config);
    await refusal(() => sealerOf(backend).unseal(byMeasurement, aad), "foreign_device");
    await refusal(() => sealerOf(backend).unseal(bySigner, aad), "foreign_device");
  });
});

test("refuses a VMPL below the guest's with the firmware's words", () =>
  onMachine({ guest: { ...PLAIN_GUEST, vmpl: 2 } }, async ({ open }) => {
    const error = await refusal(() => open({ vmpl: 0 }), "firmware");
    assertEquals(error.nativeStatus?.value, 0x16);
    await using backend = await open({ vmpl: 2 });
    const blob = await sealerOf(backend).seal(secret, "measurement", aad);
    assertEquals(await sealerOf(backend).unseal(blob, aad), secret);
  }));

test("by configfs-tsm leaves no entry behind and notices who else writes", () =>
  onMachine({}, async ({ tsm, path, open }) => {
    await using backend = await open({ reports: "tsm" });
    await attest(backend);
    tsm.onQuote = (touch) => touch();
    const error = await refusal(() => attest(backend), "io");
    assert(error.message.includes("somebody else"));
    assert(tsm.made.length >= 3);
    assertEquals(new Set(tsm.made).size, tsm.made.length);
    assertEquals(await Array.fromAsync(Deno.readDir(`${path}/report`)), []);
  }));

test("refuses a configuration that it does not understand", () =>
  onMachine({}, async ({ open }) => {
    for (const config of [{ vmpl: 4 }, { device: "sev-guest" }, { reports: "both" }, { more: 1 }]) {
      await refusal(() => open(config), "config_invalid");
    }
  }));
