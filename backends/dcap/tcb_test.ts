/** The TCB algorithm on its own, case by case of Intel's library. */
import { assertEquals } from "@std/assert";
import type { IsvLevel, ModuleStatus, PlatformStatus, QeIdentity, TcbInfo } from "./tcb_info.ts";
import { evaluateQe, evaluateTcb, type QeStatus, tdxModuleId } from "./tcb.ts";

const ZEROS: readonly number[] = Array<number>(16).fill(0);

function components(...first: readonly number[]): number[] {
  return [...first, ...ZEROS].slice(0, 16);
}

function isv<S extends string>(isvSvn: number, status: S): IsvLevel<S> {
  return { isvSvn, status, tcbDate: isvSvn, advisoryIds: [`INTEL-SA-${status}`] };
}

function tcbInfo(
  levels: readonly {
    sgx?: readonly number[];
    tdx?: readonly number[];
    pceSvn?: number;
    status: PlatformStatus;
  }[],
  modules: Readonly<Record<string, readonly IsvLevel<ModuleStatus>[]>> = {},
): TcbInfo {
  const module = {
    mrSigner: new Uint8Array(48),
    attributes: new Uint8Array(8),
    attributesMask: new Uint8Array(8),
  };
  return {
    id: "TDX",
    version: 3,
    issueDate: 0,
    nextUpdate: 1,
    fmspc: new Uint8Array(6),
    pceId: new Uint8Array(2),
    tcbEvaluationDataNumber: 1,
    tdxModule: module,
    tdxModuleIdentities: Object.entries(modules).map(([id, moduleLevels]) => ({
      ...module,
      id,
      levels: moduleLevels,
    })),
    levels: levels.map(({ sgx, tdx, pceSvn, status }) => ({
      sgxComponents: sgx ?? ZEROS,
      tdxComponents: tdx ?? ZEROS,
      pceSvn: pceSvn ?? 0,
      status,
      tcbDate: 5,
      advisoryIds: [],
    })),
  };
}

function tee(svn: readonly number[], svn2?: readonly number[]) {
  return {
    teeTcbSvn: Uint8Array.from(components(...svn)),
    teeTcbSvn2: svn2 === undefined ? undefined : Uint8Array.from(components(...svn2)),
  };
}

const PCK = { tcbComponents: components(2, 2), pceSvn: 5 };

function qe(status: QeStatus) {
  return { status, level: undefined };
}

Deno.test("evaluateTcb() takes the first level that every component and PCESVN reach", () => {
  const info = tcbInfo([
    { sgx: components(3, 0), pceSvn: 0, status: "UpToDate" },
    { sgx: components(2, 2), pceSvn: 6, status: "SWHardeningNeeded" },
    { sgx: components(2, 2), pceSvn: 5, status: "ConfigurationNeeded" },
    { sgx: components(0, 0), pceSvn: 0, status: "OutOfDate" },
  ]);
  assertEquals(evaluateTcb(info, PCK, undefined, undefined).status, "ConfigurationNeeded");
  const low = { tcbComponents: components(0, 9), pceSvn: 0 };
  assertEquals(evaluateTcb(info, low, undefined, undefined).status, "OutOfDate");
  for (let i = 0; i < 16; i++) {
    const one = components();
    one[i] = 1;
    const strict = tcbInfo([{ sgx: one, status: "UpToDate" }]);
    const none = { tcbComponents: ZEROS, pceSvn: 9 };
    assertEquals(
      evaluateTcb(strict, none, undefined, undefined).status,
      "NoMatch",
      `component ${i}`,
    );
    const reached = { tcbComponents: one, pceSvn: 9 };
    assertEquals(evaluateTcb(strict, reached, undefined, undefined).status, "UpToDate");
  }
});

Deno.test("evaluateTcb() compares TDX components 0 and 1 only for modules of version 0", () => {
  const info = tcbInfo(
    [{ tdx: components(4, 0, 2), status: "UpToDate" }],
    { TDX_01: [isv(1, "UpToDate")] },
  );
  const status = (svn: readonly number[]) => evaluateTcb(info, PCK, tee(svn), undefined).status;
  assertEquals(status([4, 0, 2]), "UpToDate");
  assertEquals(status([3, 0, 2]), "NoMatch");
  assertEquals(status([3, 1, 2]), "UpToDate");
  assertEquals(status([3, 1, 1]), "NoMatch");
  for (let i = 2; i < 16; i++) {
    const one = components();
    one[i] = 1;
    const strict = tcbInfo([{ tdx: one, status: "UpToDate" }]);
    assertEquals(evaluateTcb(strict, PCK, tee([9, 0]), undefined).status, "NoMatch", `${i}`);
  }
});

Deno.test("evaluateTcb() takes the status of the level that SGX and TDX reach together", () => {
  const info = tcbInfo([
    { sgx: components(2, 2), tdx: components(0, 0, 9), status: "UpToDate" },
    { sgx: components(1, 1), tdx: components(0, 0, 3), status: "OutOfDate" },
  ], { TDX_01: [isv(1, "UpToDate")] });
  const result = evaluateTcb(info, PCK, tee([1, 1, 5]), undefined);
  assertEquals(result.status, "OutOfDate");
  assertEquals(result.sgxLevel?.status, "UpToDate");
  assertEquals(result.tdxLevel?.status, "OutOfDate");
});

Deno.test("evaluateTcb() merges the TDX module's status", () => {
  const merged: readonly [PlatformStatus, ModuleStatus, string][] = [
    ["UpToDate", "UpToDate", "UpToDate"],
    ["UpToDate", "OutOfDate", "OutOfDate"],
    ["SWHardeningNeeded", "OutOfDate", "OutOfDate"],
    ["ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["OutOfDate", "OutOfDate", "OutOfDate"],
    ["OutOfDateConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["Revoked", "OutOfDate", "Revoked"],
    ["UpToDate", "Revoked", "Revoked"],
    ["ConfigurationNeeded", "UpToDate", "ConfigurationNeeded"],
  ];
  for (const [platform, module, expected] of merged) {
    const info = tcbInfo([{ status: platform }], { TDX_01: [isv(2, module)] });
    const what = `${platform} with module ${module}`;
    assertEquals(evaluateTcb(info, PCK, tee([2, 1]), undefined).status, expected, what);
  }
});

Deno.test("evaluateTcb() knows no TDX module without an identity or below its levels", () => {
  const info = tcbInfo([{ status: "UpToDate" }], { TDX_01: [isv(2, "UpToDate")] });
  const unknown = evaluateTcb(info, PCK, tee([9, 0x2a]), undefined);
  assertEquals(unknown.module, { kind: "unknown", id: "TDX_2A" });
  assertEquals(unknown.status, "NoMatch");
  const below = evaluateTcb(info, PCK, tee([1, 1]), undefined);
  assertEquals(below.module, { kind: "unmatched", id: "TDX_01" });
  assertEquals(below.status, "NoMatch");
  assertEquals(evaluateTcb(info, PCK, tee([1, 0]), undefined).module, { kind: "none" });
  assertEquals(tdxModuleId(3), "TDX_03");
});

Deno.test("evaluateTcb() merges the quoting enclave's status", () => {
  const merged: readonly [PlatformStatus, QeStatus, string][] = [
    ["UpToDate", "UpToDate", "UpToDate"],
    ["UpToDate", "OutOfDate", "OutOfDate"],
    ["SWHardeningNeeded", "OutOfDate", "OutOfDate"],
    ["ConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["OutOfDateConfigurationNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"],
    ["UpToDate", "Revoked", "Revoked"],
    ["UpToDate", "NoMatch", "NoMatch"],
    ["Revoked", "UpToDate", "Revoked"],
    ["Revoked", "NoMatch", "Revoked"],
  ];
  for (const [platform, enclave, expected] of merged) {
    const info = tcbInfo([{ status: platform }]);
    const what = `${platform} with QE ${enclave}`;
    assertEquals(evaluateTcb(info, PCK, undefined, qe(enclave)).status, expected, what);
  }
});

Deno.test("evaluateTcb() advises a relaunch only where an updated module waits for the TD", () => {
  const modules = { TDX_01: [isv(5, "UpToDate" as const), isv(1, "OutOfDate" as const)] };
  const info = tcbInfo([{ tdx: components(5, 0, 3), status: "UpToDate" }], modules);
  const status = (
    svn2: readonly number[],
    options: { info?: TcbInfo; qe?: QeStatus } = {},
  ) =>
    evaluateTcb(
      options.info ?? info,
      PCK,
      tee([2, 1, 9], svn2),
      options.qe === undefined ? undefined : qe(options.qe),
    ).status;
  assertEquals(status([5, 1, 3]), "TDRelaunchAdvised");
  assertEquals(status([4, 1, 3]), "OutOfDate", "the waiting module is not the newest");
  assertEquals(status([5, 1, 2]), "OutOfDate", "its microcode is not the newest");
  assertEquals(status([5, 0, 3]), "TDRelaunchAdvised", "version 0 is measured by the level");
  assertEquals(status([4, 0, 3]), "OutOfDate");
  assertEquals(status([5, 2, 3]), "NoMatch", "a module that waits without an identity");
  assertEquals(status([5, 1, 3], { qe: "UpToDate" }), "TDRelaunchAdvised");
  assertEquals(status([5, 1, 3], { qe: "OutOfDate" }), "OutOfDate");
  assertEquals(status([5, 1, 3], { qe: "Revoked" }), "Revoked");
  const configuration = tcbInfo(
    [{ tdx: components(5, 0, 3), status: "ConfigurationNeeded" }],
    modules,
  );
  const advised = status([5, 1, 3], { info: configuration });
  assertEquals(advised, "TDRelaunchAdvisedConfigurationNeeded");
  const behind = tcbInfo([{ tdx: components(5, 0, 3), status: "OutOfDate" }], modules);
  assertEquals(status([5, 1, 3], { info: behind }), "OutOfDate", "SGX itself is out of date");
  const revoked = tcbInfo([{ tdx: components(5, 0, 3), status: "Revoked" }], modules);
  assertEquals(status([5, 1, 3], { info: revoked }), "Revoked");
  assertEquals(
    evaluateTcb(info, PCK, tee([2, 1, 9]), undefined).status,
    "OutOfDate",
    "TDX 1.0 reports know no relaunch",
  );
});

Deno.test("evaluateTcb() lists advisories of platform, module and QE, and the oldest date", () => {
  const info = tcbInfo([{ status: "UpToDate" }], { TDX_01: [isv(3, "OutOfDate")] });
  const level = isv(7, "OutOfDate" as const);
  const result = evaluateTcb(info, PCK, tee([3, 1]), { status: "OutOfDate", level });
  assertEquals(result.advisoryIds, ["INTEL-SA-OutOfDate"]);
  assertEquals(result.tcbDate, 3);
});

Deno.test("evaluateQe() takes the first level that ISVSVN reaches; what is no status of its own is OutOfDate", () => {
  const identity = (levels: QeIdentity["levels"]): QeIdentity => ({
    id: "QE",
    version: 2,
    issueDate: 0,
    nextUpdate: 1,
    tcbEvaluationDataNumber: 1,
    miscSelect: new Uint8Array(4),
    miscSelectMask: new Uint8Array(4),
    attributes: new Uint8Array(16),
    attributesMask: new Uint8Array(16),
    mrSigner: new Uint8Array(32),
    isvProdId: 1,
    levels,
  });
  const levels = [isv(8, "UpToDate"), isv(6, "ConfigurationNeeded"), isv(2, "Revoked")] as const;
  const status = (isvSvn: number) => evaluateQe(identity(levels), isvSvn).status;
  assertEquals([9, 8, 7, 6, 5, 2, 1].map(status), [
    "UpToDate",
    "UpToDate",
    "OutOfDate",
    "OutOfDate",
    "Revoked",
    "Revoked",
    "NoMatch",
  ]);
});
