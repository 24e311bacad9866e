/** Event logs: decoding, replay, comparison with the quote. */
import { sha384 } from "@noble/hashes/sha2.js";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import { concat } from "../../tests/pki/intel_der.ts";
import { eventLogBytes, specIdEvent } from "../../tests/pki/intel_event_log.ts";
import { makePlatform, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { decodeEventLog, looksLikeEventLog, replayEventLog } from "./ccel.ts";

const encode = (text: string): Bytes => new TextEncoder().encode(text);
const EVENTS = [
  { mrIndex: 1, type: 0x80000001, data: encode("SecureBoot") },
  { mrIndex: 1, type: 3, data: encode("no action") },
  { mrIndex: 2, type: 4, data: new Uint8Array(4) },
  { mrIndex: 4, type: 0xd, data: encode("kernel") },
  { mrIndex: 1, type: 4, data: new Uint8Array(4) },
] as const;

function extended(...data: readonly Bytes[]): string {
  let register: Uint8Array = new Uint8Array(48);
  for (const one of data) register = sha384(concat(register, sha384(one)));
  return register.toHex();
}

const EXPECTED = [
  extended(EVENTS[0].data, EVENTS[4].data),
  extended(EVENTS[2].data),
  extended(),
  extended(EVENTS[3].data),
];

Deno.test("replayEventLog() extends RTMR0 to RTMR3 in order and leaves EV_NO_ACTION out", () => {
  const bytes = eventLogBytes(EVENTS);
  assert(looksLikeEventLog(bytes));
  const log = decodeEventLog(bytes);
  assertEquals(log.events.length, 5);
  assertEquals(replayEventLog(log).map((rtmr) => rtmr.toHex()), EXPECTED);
});

Deno.test("decodeEventLog() lets the table's fill be", () => {
  const bytes = eventLogBytes(EVENTS);
  for (const fill of [new Uint8Array(1000).fill(0xff), new Uint8Array(1000), new Uint8Array(3)]) {
    assertEquals(decodeEventLog(concat(bytes, fill)).events.length, 5);
  }
});

Deno.test("decodeEventLog() refuses what is cut off or is another format", () => {
  const bytes = eventLogBytes(EVENTS);
  const patched = (offset: number, ...values: readonly number[]) => {
    const out = bytes.slice();
    out.set(values, offset);
    return out;
  };
  const first = specIdEvent().length;
  const bad: readonly (readonly [what: string, bytes: Bytes])[] = [
    ["empty", new Uint8Array()],
    ["cut off", bytes.slice(0, bytes.length - 1)],
    ["cut in an event", bytes.slice(0, first + 20)],
    ["type of the first event", patched(4, 4)],
    ["signature of the first event", patched(32, 0x53, 0x70, 0x65, 0x63, 0x20, 0x49, 0x45)],
    ["no algorithm", patched(56, 0)],
    ["many algorithms", patched(56, 17)],
    ["SHA-256 only", patched(60, 0x0b)],
    ["digest size", patched(62, 32)],
    ["vendor info length", patched(64, 1)],
    ["an unknown register", patched(first, 5)],
    ["two digests", patched(first + 8, 2)],
    ["no digest", patched(first + 8, 0)],
    ["an unknown algorithm", patched(first + 12, 0x0b)],
    ["event size", patched(first + 62, 0xff, 0xff, 0xff, 0x7f)],
    ["rubbish behind", concat(bytes, Uint8Array.of(0, 0, 0, 1))],
  ];
  for (const [what, input] of bad) {
    const error = assertThrows(() => decodeEventLog(input), BackendError, undefined, what);
    assertEquals(error.code, "malformed", what);
  }
});

Deno.test("appraise() compares an event log with the quote's registers", async () => {
  const tdx = { tee: "TDX", quoteVersion: 5, bodyType: 3 } as const;
  const body = Object.fromEntries(EXPECTED.map((hex, i) => [328 + 48 * i, hex]));
  const { quote, endorsements, pki } = await makePlatform({ ...tdx, body });
  const appraise = (log: Bytes) =>
    appraiseIntel({
      ...tdx,
      quote,
      endorsements: [...endorsements, { type: "ccel", data: log }],
      now: TEST_NOW,
      root: pki.root,
      policy: { eventLog: "require" },
    });
  const good = await appraise(eventLogBytes(EVENTS));
  assertEquals(findings(good), []);
  assertEquals(good.claims["event_log_events"], [5]);
  assertEquals(findings(await appraise(eventLogBytes(EVENTS.slice(1)))), [
    "event_log/event_log_mismatch",
  ]);
  const swapped = [EVENTS[4], ...EVENTS.slice(1, 4), EVENTS[0]];
  const other = await appraise(eventLogBytes(swapped));
  const check = other.checks.find(({ id }) => id === "event_log");
  assertEquals(check?.text?.endsWith("RTMR0"), true);
  const cut = eventLogBytes(EVENTS).slice(0, -1);
  assertEquals(findings(await appraise(cut)), ["event_log/malformed"]);
});
