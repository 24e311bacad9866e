import { assertEquals, assertThrows } from "@std/assert";
import { makePlatform } from "../../tests/pki/intel_platform.ts";
import { BackendError } from "../errors.ts";
import { decodeSgxQuote } from "../sgx/abi.ts";
import { decodeTdReport, decodeTdxQuote, tdAttributeNames, tdReportClaims } from "./abi.ts";

Deno.test("decodeTdReport() takes 584 and 648 bytes and nothing else", () => {
  const bytes = Uint8Array.from({ length: 648 }, (_, i) => i & 0xff);
  const report = decodeTdReport(bytes);
  assertEquals(report.mrTd, bytes.subarray(136, 184));
  assertEquals(report.rtmrs[3], bytes.subarray(472, 520));
  assertEquals(report.reportData, bytes.subarray(520, 584));
  assertEquals(report.teeTcbSvn2, bytes.subarray(584, 600));
  assertEquals(report.mrServiceTd, bytes.subarray(600, 648));
  assertEquals(decodeTdReport(bytes.subarray(0, 584)).mrServiceTd, undefined);
  for (const length of [0, 583, 585, 600, 647]) {
    const error = assertThrows(() => decodeTdReport(bytes.slice(0, length)), BackendError);
    assertEquals(error.code, "malformed", `${length}`);
  }
  assertThrows(() => decodeTdReport(new Uint8Array(649)), BackendError);
});

Deno.test("decodeTdReport() reads numbers where a report begins inside a larger buffer", () => {
  const buffer = new Uint8Array(700);
  buffer[3 + 120] = 0x01;
  buffer[3 + 123] = 0x10;
  const report = decodeTdReport(buffer.subarray(3, 3 + 584));
  assertEquals(tdAttributeNames(report.attributes), ["DEBUG", "SEPT_VE_DISABLE"]);
  const claims = tdReportClaims(report);
  assertEquals([claims["td_debug"], claims["sept_ve_disable"]], [true, true]);
  assertEquals(claims["td_attributes"], "0000000010000001");
});

Deno.test("tdAttributeNames() names bits, also those that have no name", () => {
  assertEquals(tdAttributeNames(0n), []);
  assertEquals(tdAttributeNames((1n << 63n) | (1n << 31n) | (1n << 9n)), [
    "bit 9",
    "KL",
    "PERFMON",
  ]);
});

Deno.test("decodeTdxQuote() and decodeSgxQuote() refuse each other's quotes and say so", async () => {
  const sgx = await makePlatform({ tee: "SGX", quoteVersion: 4, bodyType: 1 });
  const tdx = await makePlatform({ tee: "TDX", quoteVersion: 4, bodyType: 2 });
  for (const run of [() => decodeTdxQuote(sgx.quote), () => decodeSgxQuote(tdx.quote)]) {
    const error = assertThrows(run, BackendError);
    assertEquals(error.code, "malformed");
    assertEquals(error.hint?.startsWith("verify it as"), true);
  }
});
