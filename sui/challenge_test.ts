import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CHALLENGE_LENGTH, type ChallengeOptions, createChallenges } from "./challenge.ts";

const ALICE = "0x" + "a1".repeat(32);
const BOB = "0x" + "b0".repeat(32);

function world(more: Partial<ChallengeOptions> = {}) {
  const time = { nowMs: 1_790_000_000_000 };
  let counter = 0;
  const options: ChallengeOptions = {
    bootKey: new Uint8Array(32).fill(7),
    context: Uint8Array.of(1, 2, 3),
    clock: () => time.nowMs,
    random: (length) => {
      const bytes = new Uint8Array(length);
      new DataView(bytes.buffer).setUint32(0, ++counter);
      return bytes;
    },
    ...more,
  };
  return { time, options, challenges: createChallenges(options) };
}

const subject = { nodeId: "node-a", address: ALICE };

Deno.test("issue() takes no memory and verify() knows its own", () => {
  const { challenges, time } = world();
  const issued = Array.from({ length: 1000 }, () => challenges.issue(subject));
  for (const { challenge, issuedAtMs, expiresAtMs } of issued) {
    assertEquals(challenge.length, CHALLENGE_LENGTH);
    assertEquals([issuedAtMs, expiresAtMs], [time.nowMs, time.nowMs + 60_000]);
    assertEquals(challenges.verify(challenge, subject), { valid: true, issuedAtMs, expiresAtMs });
  }
  assertEquals(challenges.burned, 0);
});

Deno.test("verify() refuses another node, address, context, process and every changed bit", () => {
  const { challenges, options } = world();
  const { challenge } = challenges.issue(subject);
  const code = (verdict: ReturnType<typeof challenges.verify>) => verdict.valid || verdict.code;
  assertEquals(code(challenges.verify(challenge, { ...subject, nodeId: "node-b" })), "foreign");
  assertEquals(code(challenges.verify(challenge, { ...subject, address: BOB })), "foreign");
  const elsewhere = createChallenges({ ...options, context: Uint8Array.of(1, 2, 4) });
  assertEquals(code(elsewhere.verify(challenge, subject)), "foreign");
  const restarted = createChallenges({ ...options, bootKey: new Uint8Array(32).fill(8) });
  assertEquals(code(restarted.verify(challenge, subject)), "foreign");
  for (let bit = 0; bit < CHALLENGE_LENGTH * 8; bit++) {
    const changed = challenge.slice();
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const verdict = challenges.verify(changed, subject);
    assertEquals(code(verdict), bit < 8 ? "malformed" : "foreign");
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    assert(!challenges.verify(bytes, subject).valid);
  }));
});

Deno.test("verify() cannot be led to join node id and address in another way", () => {
  const { challenges } = world();
  const { challenge } = challenges.issue({ nodeId: "ab", address: ALICE });
  assert(!challenges.verify(challenge, { nodeId: "a", address: ALICE }).valid);
  assert(!challenges.verify(challenge, { nodeId: "abc", address: ALICE }).valid);
});

Deno.test("burn() lets a challenge through once", () => {
  const { challenges } = world();
  const { challenge } = challenges.issue(subject);
  assertEquals(challenges.burn(challenge, { ...subject, address: BOB }), "foreign");
  assertEquals(challenges.burn(challenge, subject), "burned");
  assertEquals(challenges.burn(challenge, subject), "used");
  assertEquals(challenges.verify(challenge, subject), { valid: false, code: "used" });
  assertEquals(challenges.burned, 1);
});

Deno.test("challenges expire, and no clock set back revives one", () => {
  const { challenges, time } = world({ lifetimeMs: 1000 });
  const first = challenges.issue(subject).challenge;
  const second = challenges.issue(subject).challenge;
  assertEquals(challenges.burn(first, subject), "burned");
  time.nowMs += 1000;
  assertEquals(challenges.burn(second, subject), "expired");
  const third = challenges.issue(subject).challenge;
  assertEquals(challenges.burn(third, subject), "burned"); // forgets the first
  assertEquals(challenges.burned, 1);
  time.nowMs -= 1000;
  assertEquals(challenges.burn(first, subject), "expired");
  assertEquals(challenges.burn(second, subject), "expired");
  assertEquals(challenges.burn(third, subject), "used");
});

Deno.test("burn() keeps bounded memory and admits nobody beyond it", () => {
  const { challenges, time } = world({ maxBurned: 10, lifetimeMs: 1000 });
  const next = () => challenges.burn(challenges.issue(subject).challenge, subject);
  for (let i = 0; i < 10; i++) assertEquals(next(), "burned");
  assertEquals(next(), "full");
  assertEquals(challenges.burned, 10);
  time.nowMs += 1000;
  assertEquals(next(), "burned");
  assertEquals(challenges.burned, 1);
});

Deno.test("createChallenges() refuses a short key and a long life", () => {
  assertThrows(() => world({ bootKey: new Uint8Array(16) }), TypeError, "32 bytes");
  assertThrows(() => world({ lifetimeMs: 60_001 }), TypeError, "60000");
  assertThrows(() => world({ lifetimeMs: Number.NaN }), TypeError, "lifetimeMs");
});
