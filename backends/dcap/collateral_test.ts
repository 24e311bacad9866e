/** Decoding of collateral: exact text, strict members, every form it comes in. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { pem } from "../../tests/pki/intel_der.ts";
import { makePlatform, type Platform } from "../../tests/pki/intel_platform.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { collectCollateral, MAX_ITEMS, parseChain } from "./collateral.ts";
import { jsonText, objectMembers, parseJson } from "./json_text.ts";
import { decodeQeIdentity, decodeTcbInfo } from "./tcb_info.ts";

const encode = (text: string): Bytes => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function malformed(run: () => unknown, message: RegExp): void {
  const error = assertThrows(run, BackendError);
  assertEquals(error.code, "malformed");
  assert(message.test(error.message), error.message);
}

Deno.test("objectMembers() keeps the exact text of every value", () => {
  const text = ' {"a" : {"x":[1, 2 ,{"}":"]"}]} ,"b":"q\\"},{","c":-1.50e+1, "d":null}\n';
  assertEquals(Object.fromEntries(objectMembers(text, "t") ?? []), {
    a: '{"x":[1, 2 ,{"}":"]"}]}',
    b: '"q\\"},{"',
    c: "-1.50e+1",
    d: "null",
  });
  assertEquals(objectMembers("{}", "t")?.size, 0);
  assertEquals(objectMembers("[1]", "t"), undefined);
  assertEquals(objectMembers("null", "t"), undefined);
});

Deno.test("objectMembers() finds for any object what JSON.parse() finds", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (value, space) => {
    const text = JSON.stringify(value, undefined, space);
    const members = objectMembers(text, "t") ?? new Map<string, string>();
    const again = Object.fromEntries([...members].map(([name, raw]) => [name, JSON.parse(raw)]));
    assertEquals(again, JSON.parse(text));
    assert([...members.values()].every((raw) => text.includes(raw)));
  }));
});

Deno.test("objectMembers() refuses members that stand twice, bad JSON and deep nesting", () => {
  malformed(() => objectMembers('{"tcbInfo":1,"tcbInfo":2}', "t"), /stands twice/);
  malformed(() => objectMembers('{"tcbInfo":1,"\\u0074cbInfo":2}', "t"), /stands twice/);
  malformed(() => objectMembers('{"a":1', "t"), /not JSON/);
  malformed(() => parseJson("[".repeat(100_000), "t"), /nested deeper/);
  malformed(() => jsonText(Uint8Array.of(0xff, 0xfe), "t"), /UTF-8/);
  malformed(() => jsonText(new Uint8Array((1 << 20) + 1), "t"), /at most/);
});

interface Documents {
  readonly tcbInfo: string;
  readonly qeIdentity: string;
  readonly platform: Platform;
}

async function documents(): Promise<Documents> {
  const platform = await makePlatform({ tee: "TDX", quoteVersion: 5, bodyType: 3 });
  const member = (bytes: Bytes, name: string) => objectMembers(decode(bytes), "t")?.get(name) ?? "";
  return {
    tcbInfo: member(platform.parts.tcbInfo, "tcbInfo"),
    qeIdentity: member(platform.parts.qeIdentity, "enclaveIdentity"),
    platform,
  };
}

Deno.test("decodeTcbInfo() and decodeQeIdentity() name the member that is wrong", async () => {
  const { tcbInfo, qeIdentity } = await documents();
  const changed = (text: string, from: string | RegExp, to: string) => {
    const out = text.replace(from, to);
    assert(out !== text, `${from} is not there`);
    return out;
  };
  const bad: readonly (readonly [from: string | RegExp, to: string, message: RegExp])[] = [
    ['"version":3', '"version":4', /tcbInfo.version/],
    ['"version":3', '"version":"3"', /tcbInfo.version/],
    ['"id":"TDX"', '"id":"XDT"', /tcbInfo.id/],
    [/"issueDate":"[^"]*"/, '"issueDate":"yesterday"', /tcbInfo.issueDate/],
    [/"issueDate":"[^"]*"/, '"issueDate":"2026-13-45T00:00:00Z"', /tcbInfo.issueDate/],
    [/"fmspc":"[^"]*"/, '"fmspc":"00"', /tcbInfo.fmspc/],
    ['"pceId":"0000"', '"pceId":0', /tcbInfo.pceId/],
    ['"tcbType":0', '"tcbType":1', /tcbInfo.tcbType/],
    ['"tcbEvaluationDataNumber":18', '"tcbEvaluationDataNumber":-1', /EvaluationDataNumber/],
    ['"tcbEvaluationDataNumber":18', '"tcbEvaluationDataNumber":1.5', /EvaluationDataNumber/],
    ['{"svn":5}', '{"svn":256}', /sgxtcbcomponents.0.svn/],
    ['{"svn":5},', "", /sgxtcbcomponents/],
    ['"tdxtcbcomponents"', '"tdxtcbcomponentz"', /tdxtcbcomponents/],
    ['"pcesvn":11', '"pcesvn":65536', /pcesvn/],
    ['"tcbStatus":"UpToDate"', '"tcbStatus":"Fine"', /tcbStatus/],
    ['"id":"TDX_01"', '"id":"TDX1"', /tdxModuleIdentities.0.id/],
    ['"tdxModule":', '"tdxModul":', /tdxModule/],
  ];
  for (const [from, to, message] of bad) {
    malformed(() => decodeTcbInfo(changed(tcbInfo, from, to)), message);
  }
  malformed(
    () => decodeTcbInfo(JSON.stringify({ ...JSON.parse(tcbInfo), tcbLevels: [] })),
    /tcbLevels/,
  );
  const [level] = JSON.parse(tcbInfo).tcbLevels;
  malformed(
    () => decodeTcbInfo(JSON.stringify({ ...JSON.parse(tcbInfo), tcbLevels: [level, level] })),
    /two levels/,
  );
  malformed(
    () => decodeTcbInfo(changed(tcbInfo, '"id":"TDX"', '"id":"SGX"')),
    /has no TDX module/,
  );
  for (
    const [from, to, message] of [
      ['"version":2', '"version":3', /enclaveIdentity.version/],
      ['"id":"TD_QE"', '"id":"QD_TE"', /enclaveIdentity.id/],
      ['"miscselect":"00000000"', '"miscselect":"0000"', /miscselect/],
      ['"isvprodid":2', '"isvprodid":65536', /isvprodid/],
      ['"isvsvn":6', '"isvsvn":"6"', /isvsvn/],
    ] as const
  ) malformed(() => decodeQeIdentity(changed(qeIdentity, from, to)), message);
});

Deno.test("decodeTcbInfo() orders levels as Intel's library does, and lets unknown members be", async () => {
  const { tcbInfo } = await documents();
  const json = JSON.parse(tcbInfo);
  const text = JSON.stringify({ ...json, tcbLevels: [...json.tcbLevels].reverse(), novelty: [1] });
  assertEquals(decodeTcbInfo(text), decodeTcbInfo(tcbInfo));
  assertEquals(decodeTcbInfo(text).levels.map(({ status }) => status), ["UpToDate", "OutOfDate"]);
});

Deno.test("decodeTcbInfo() reads version 2 for SGX", () => {
  const tcb: Record<string, number> = { pcesvn: 7 };
  for (let i = 1; i <= 16; i++) tcb[`sgxtcbcomp${String(i).padStart(2, "0")}svn`] = i;
  const info = decodeTcbInfo(JSON.stringify({
    version: 2,
    issueDate: "2021-01-01T00:00:00Z",
    nextUpdate: "2021-02-01T00:00:00Z",
    fmspc: "00606A000000",
    pceId: "0000",
    tcbType: 0,
    tcbEvaluationDataNumber: 5,
    tcbLevels: [{ tcb, tcbDate: "2020-11-11T00:00:00Z", tcbStatus: "UpToDate" }],
  }));
  assertEquals([info.id, info.version], ["SGX", 2]);
  assertEquals(info.levels[0]?.sgxComponents, Array.from({ length: 16 }, (_, i) => i + 1));
  assertEquals(info.levels[0]?.pceSvn, 7);
});

Deno.test("collectCollateral() sorts items by content, whatever they are called", async () => {
  const { platform } = await documents();
  const { endorsements, parts } = platform;
  const misnamed = endorsements.map(({ data }, i) => ({ type: `x${i}`, data }));
  const found = collectCollateral([
    ...misnamed,
    { type: "", data: encode("a note") },
    { type: "n", data: encode('{"tee":"tdx"}') },
    { type: "z", data: new Uint8Array() },
    { type: "k", data: Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x00) },
  ]);
  assertEquals(found.tcbInfos.length, 1);
  assertEquals(found.qeIdentities.length, 1);
  assertEquals(found.crls.length, 2);
  assertEquals(found.chains.map((chain) => chain.length), [2]);
  assertEquals(found.malformed, []);
  assertEquals(found.others.length, 4);
  assertEquals(
    found.tcbInfos[0]?.text,
    encode(objectMembers(decode(parts.tcbInfo), "t")?.get("tcbInfo") ?? ""),
  );
});

Deno.test("collectCollateral() lists what is broken and what is unsigned", async () => {
  const { tcbInfo, qeIdentity, platform } = await documents();
  const { rootCrl, tcbSigningChain } = platform.parts;
  const item = (text: string) => collectCollateral([{ type: "i", data: encode(text) }]);
  assertEquals(item(tcbInfo).unsigned.length, 1);
  assertEquals(item(qeIdentity).unsigned.length, 1);
  assertEquals(item(`{"tcbInfo":${tcbInfo}}`).unsigned.length, 1);
  const broken: readonly string[] = [
    `{"tcbInfo":${tcbInfo},"signature":"00"}`,
    `{"tcbInfo":${tcbInfo},"signature":12}`,
    `{"tcbInfo":{},"signature":"${"00".repeat(64)}"}`,
    `{"tcb_info":${JSON.stringify(tcbInfo)},"tcb_info_signature":"${"0g".repeat(64)}"}`,
    `{"tcb_info":${JSON.stringify(tcbInfo)},"tcb_info_signature":"${
      "00".repeat(64)
    }","tcb_info_issuer_chain":"none"}`,
    '{"root_ca_crl":"3000"}',
    '{"root_ca_crl":[256]}',
    '{"pck_crl":5}',
    '{"tcbInfo":',
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n",
  ];
  for (const text of broken) {
    const { malformed: problems } = item(text);
    assertEquals(problems.length, 1, text.slice(0, 60));
    assert((problems[0]?.text.length ?? 0) > 0);
  }
  const cut = collectCollateral([{ type: "crl", data: rootCrl.subarray(0, rootCrl.length - 1) }]);
  assertEquals(cut.crls.length, 0);
  const many = Array.from({ length: MAX_ITEMS + 5 }, () => ({ type: "", data: tcbSigningChain }));
  const found = collectCollateral(many);
  assertEquals([found.chains.length, found.malformed.length], [MAX_ITEMS, 1]);
});

Deno.test("parseChain() wants certificates and nothing else", async () => {
  const { platform } = await documents();
  const chain = parseChain(platform.pckChain);
  assertEquals(chain.length, 3);
  const der = chain[0]?.raw;
  assert(der !== undefined);
  assertEquals(parseChain(der).length, 1);
  const text = pem("CERTIFICATE", der);
  assertEquals(parseChain(encode(`\r\n${text}\r\n\0\0`)).length, 1);
  for (
    const other of [
      `Certificate:\n${text}`,
      `${text}trailing`,
      text.replace("BEGIN", "BEGIM"),
      pem("X509 CRL", platform.parts.rootCrl),
      "",
    ]
  ) malformed(() => parseChain(encode(other)), /PEM/);
});
