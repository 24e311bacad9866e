import { assert, assertEquals, assertThrows } from "@std/assert";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { beatSignatureInput, readBeat, type SignedBeat } from "./beat_signature.ts";
import { NodeKeys } from "./node_keys.ts";
import { createRevocationLog } from "./revocation_log.ts";
import { createSignedSessions } from "./signed_sessions.ts";

const Vector = v.strictObject({
  session_token: v.string(),
  sequence: v.number(),
  body: v.string(),
  node_key: v.string(),
  signed: v.string(),
  signature: v.string(),
});

function isGood(key: Bytes, beat: SignedBeat): boolean {
  return new NodeKeys(1).verify(key, beatSignatureInput(beat), beat.signature);
}

Deno.test("beatSignatureInput() makes the bytes of the vector in docs/ADMISSION.md", async () => {
  const page = await Deno.readTextFile(new URL("../docs/ADMISSION.md", import.meta.url));
  const block = /```json heartbeat-vector\n([\s\S]*?)```/.exec(page)?.[1] ?? "";
  const vector = v.parse(Vector, JSON.parse(block));
  const rest = {
    purpose: "heartbeat",
    sessionToken: vector.session_token,
    body: new TextEncoder().encode(vector.body),
  } as const;
  const beat = readBeat(String(vector.sequence), vector.signature, rest);
  assert(beat !== undefined);
  assertEquals(beatSignatureInput(beat).toHex(), vector.signed);
  const key = Uint8Array.fromBase64(vector.node_key);
  assert(isGood(key, beat));
  assert(!isGood(key, { ...beat, purpose: "leave" }));
  assert(!isGood(key, { ...beat, sequence: beat.sequence + 1 }));
  assert(!isGood(key, { ...beat, sessionToken: "header.payload.signaturE" }));
});

Deno.test("readBeat() wants both headers, well formed, or none", () => {
  const rest = { purpose: "leave", sessionToken: "t", body: new Uint8Array(0) } as const;
  const signature = new Uint8Array(64).toBase64();
  assertEquals(readBeat(undefined, undefined, rest), undefined);
  for (
    const [sequence, given] of [["1", undefined], [undefined, signature], ["01", signature], [
      "1",
      signature.slice(4),
    ]]
  ) assertThrows(() => readBeat(sequence, given, rest), Error, "X-Nautilus");
});

Deno.test("createSignedSessions() takes its own tokens only: key, cluster, issuer, time, every byte", () => {
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const options = { secret: random(32), issuer: "a", audience: "b", random };
  const sessions = createSignedSessions(options);
  const claims = {
    sub: "worker-1",
    sid: "0".repeat(32),
    nodeKeyHash: "1".repeat(64),
    iat: 100,
    exp: 200,
  };
  const token = sessions.issue(claims);
  assertEquals(sessions.verify(token, 150_000), claims);
  assertEquals(sessions.verify(token, 200_000), undefined);
  const again = createSignedSessions(options);
  assertEquals(again.verify(token, 150_000), claims, "the same key after a restart");
  for (const change of [{ secret: random(32) }, { issuer: "c" }, { audience: "c" }]) {
    const other = createSignedSessions({ ...options, ...change });
    assertEquals(other.verify(token, 150_000), undefined);
  }
  for (let i = 0; i < token.length - 1; i++) {
    const flipped = token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
    assertEquals(sessions.verify(flipped, 150_000), undefined, `at ${i}`);
  }
  const [, payload, signature] = token.split(".");
  const none = new TextEncoder().encode(JSON.stringify({ alg: "none" })).toBase64();
  assertEquals(sessions.verify(`${none}.${payload}.${signature}`, 150_000), undefined);
});

Deno.test("createRevocationLog() knows what came after a mark; what it forgot counts as come", () => {
  const log = createRevocationLog(2);
  log.note("a");
  const mark = log.mark();
  assertEquals([log.since("a", mark), log.since("b", mark)], [false, false]);
  log.note("b");
  assertEquals([log.since("a", mark), log.since("b", mark)], [false, true]);
  log.note("c");
  log.note("d");
  assertEquals(log.since("b", mark), true);
  assertEquals(log.since("never heard of", log.mark()), false);
});
