import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { BackendError } from "./errors.ts";
import { createCachedAttester } from "./evidence_cache.ts";
import type { Attester, Bytes, Evidence } from "./mod.ts";

interface Fixture {
  readonly attester: Attester;
  readonly asked: Bytes[];
  now: number;
  closed: boolean;
  fail: boolean;
}

function fixture(): Fixture {
  const asked: Bytes[] = [];
  const state: Fixture = {
    asked,
    now: 1_000_000,
    closed: false,
    fail: false,
    attester: createCachedAttester({
      kind: "SEV",
      clock: () => state.now,
      make: (reportData): Promise<Evidence> => {
        asked.push(reportData);
        if (state.fail) return Promise.reject(new BackendError("throttled", "busy"));
        const data = Uint8Array.of(asked.length);
        return Promise.resolve({ mediaType: "x", data, endorsements: [{ type: "t", data }] });
      },
      assertOpen: () => {
        if (state.closed) throw new BackendError("closed", "closed");
      },
    }),
  };
  return state;
}

const data = (fill: number): Bytes => new Uint8Array(64).fill(fill);

Deno.test("createCachedAttester() asks once a minute for the same report data", async () => {
  const state = fixture();
  const first = await state.attester.attest(data(1));
  state.now += 59_999;
  assertEquals(await state.attester.attest(data(1)), first);
  state.now += 1;
  assertNotEquals(await state.attester.attest(data(1)), first);
  state.now -= 120_000; // a clock that was set back trusts nothing that is kept
  await state.attester.attest(data(1));
  assertEquals(state.asked.length, 3);
});

Deno.test("createCachedAttester() keeps the last sixteen and gives out copies", async () => {
  const state = fixture();
  const first = await state.attester.attest(data(0));
  first.data.fill(0xee);
  assertEquals((await state.attester.attest(data(0))).data, Uint8Array.of(1));
  for (let i = 1; i <= 16; i++) await state.attester.attest(data(i));
  await state.attester.attest(data(16));
  assertEquals(state.asked.length, 17);
  await state.attester.attest(data(0));
  assertEquals(state.asked.length, 18);
});

Deno.test("createCachedAttester() forgets failures, and answers nothing after close", async () => {
  const state = fixture();
  state.fail = true;
  await assertRejects(() => state.attester.attest(data(1)), BackendError, "busy");
  state.fail = false;
  const pending = state.attester.attest(data(1));
  state.closed = true;
  await assertRejects(() => pending, BackendError, "closed");
  await assertRejects(() => state.attester.attest(data(1)), BackendError, "closed");
});
