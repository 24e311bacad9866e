import { assert, assertEquals, assertThrows } from "@std/assert";
import { generateKeyPairSync, sign } from "node:crypto";
import { spawnWorker } from "../tests/fakes/worker_entry.ts";
import { directVerifier, OffloadingVerifier } from "./node_key_verifier.ts";
import { packChecks, unpackChecks } from "./node_key_worker.ts";

interface Signed {
  readonly spki: Uint8Array<ArrayBuffer>;
  readonly message: Uint8Array<ArrayBuffer>;
  readonly signature: Uint8Array<ArrayBuffer>;
}

function signed(message = crypto.getRandomValues(new Uint8Array(98))): Signed {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  return {
    spki: new Uint8Array(publicKey.export({ type: "spki", format: "der" })),
    message,
    signature: new Uint8Array(sign(null, message, privateKey)),
  };
}

/** Good ones, and one of each kind of bad one, with what is right about them. */
function mixture(): { readonly checks: Signed[]; readonly wanted: boolean[] } {
  const good = Array.from({ length: 12 }, () => signed());
  const [a, b] = [signed(), signed()];
  const bad: Signed[] = [
    { ...a, signature: b.signature },
    { ...a, spki: b.spki },
    { ...a, spki: new Uint8Array(44) },
    { ...a, message: b.message },
    { ...a, message: a.message.subarray(1) },
    { ...a, signature: a.signature.map((byte, i) => i === 63 ? byte ^ 0x80 : byte) },
    { ...a, signature: new Uint8Array(64) },
  ];
  const checks = good.flatMap((one, i) => {
    const other = bad[i];
    return other === undefined ? [one] : [one, other];
  });
  return { checks, wanted: checks.map((check) => good.includes(check)) };
}

function all(verifier: Pick<OffloadingVerifier, "verify">, checks: readonly Signed[]) {
  return Promise.all(
    checks.map(({ spki, message, signature }) => verifier.verify(spki, message, signature)),
  );
}

Deno.test("OffloadingVerifier answers as directVerifier, before and after its Worker runs", async () => {
  using verifier = new OffloadingVerifier({
    spawnWorker,
    soon: queueMicrotask,
    now: () => 0,
    cores: 2,
  });
  assertEquals(verifier.offloads, false);
  for (let i = 0; i < 60; i++) {
    const { checks, wanted } = mixture();
    assertEquals(await all(verifier, checks), wanted);
    assertEquals(await all(directVerifier, checks), wanted);
  }
  assertEquals(verifier.offloads, true);
});

Deno.test("OffloadingVerifier starts no Worker for few at a time, nor on a single core", async () => {
  const refuse = () => {
    throw new Error("no Worker is wanted here");
  };
  using few = new OffloadingVerifier({
    spawnWorker: refuse,
    soon: queueMicrotask,
    now: () => 0,
    cores: 2,
  });
  const one = signed();
  for (let i = 0; i < 200; i++) assertEquals(await all(few, [one, one, one]), [true, true, true]);
  using single = new OffloadingVerifier({
    spawnWorker: refuse,
    soon: queueMicrotask,
    now: () => 0,
    cores: 1,
  });
  const { checks, wanted } = mixture();
  for (let i = 0; i < 60; i++) assertEquals(await all(single, checks), wanted);
});

Deno.test("OffloadingVerifier starts no Worker for batches that are far apart", async () => {
  let now = 0;
  using verifier = new OffloadingVerifier({
    spawnWorker: () => {
      throw new Error("no Worker is wanted here");
    },
    soon: queueMicrotask,
    now: () => now,
    cores: 2,
  });
  const { checks, wanted } = mixture();
  for (let i = 0; i < 200; i++, now += 25) assertEquals(await all(verifier, checks), wanted);
});

Deno.test("OffloadingVerifier ends its Worker once it was idle for 30 s, and starts another when it is busy", async () => {
  let now = 0;
  let started = 0;
  using verifier = new OffloadingVerifier({
    spawnWorker: (name) => {
      started++;
      return spawnWorker(name);
    },
    soon: queueMicrotask,
    now: () => now,
    cores: 2,
  });
  const { checks, wanted } = mixture();
  const one = signed();
  for (let round = 1; round <= 2; round++) {
    for (let i = 0; i < 60; i++) assertEquals(await all(verifier, checks), wanted);
    assertEquals([started, verifier.offloads], [round, true]);
    now += 29_999;
    assertEquals(await all(verifier, [one]), [true]);
    assertEquals(verifier.offloads, true);
    now += 1;
    assertEquals(await all(verifier, checks), wanted);
    assertEquals(verifier.offloads, false);
    now += 1_000;
  }
});

Deno.test("OffloadingVerifier does not end a Worker that still has to answer", async () => {
  const worker = new SilentWorker();
  let now = 0;
  using verifier = new OffloadingVerifier({
    spawnWorker: () => worker,
    soon: queueMicrotask,
    now: () => now,
    cores: 2,
  });
  const { checks, wanted } = mixture();
  for (let i = 0; i < 49; i++) await all(verifier, checks);
  const waiting = all(verifier, checks);
  await Promise.resolve();
  await Promise.resolve();
  now += 60_000;
  const [one] = checks;
  assert(one !== undefined);
  assertEquals(await all(verifier, [one]), [true]);
  assert(verifier.offloads && !worker.terminated);
  worker.fail();
  assertEquals(await waiting, wanted);
});

Deno.test("OffloadingVerifier refuses what has not the length of a signature", async () => {
  using verifier = new OffloadingVerifier({
    spawnWorker,
    soon: queueMicrotask,
    now: () => 0,
    cores: 2,
  });
  const { spki, message, signature } = signed();
  for (const bad of [new Uint8Array(0), signature.subarray(1), new Uint8Array(65)]) {
    assertEquals(await verifier.verify(spki, message, bad), false);
  }
});

/** A Worker that takes requests and never answers, until it fails. */
class SilentWorker extends EventTarget implements Worker {
  onmessage: Worker["onmessage"] = null;
  onmessageerror: Worker["onmessageerror"] = null;
  onerror: Worker["onerror"] = null;
  requests = 0;
  terminated = false;
  postMessage(): void {
    this.requests++;
  }
  terminate(): void {
    this.terminated = true;
  }
  fail(): void {
    this.onerror?.(new ErrorEvent("error", { message: "out of memory", cancelable: true }));
  }
}

Deno.test("what a failed Worker leaves behind is checked here, and all that follows", async () => {
  const worker = new SilentWorker();
  using verifier = new OffloadingVerifier({
    spawnWorker: () => worker,
    soon: queueMicrotask,
    now: () => 0,
    cores: 2,
  });
  const { checks, wanted } = mixture();
  for (let i = 0; i < 49; i++) await all(verifier, checks);
  const waiting = all(verifier, checks);
  await Promise.resolve();
  await Promise.resolve();
  assertEquals(worker.requests, 1);
  worker.fail();
  assertEquals(await waiting, wanted);
  assert(worker.terminated && !verifier.offloads);
  assertEquals(await all(verifier, checks), wanted);
  assertEquals(worker.requests, 1);
});

Deno.test("closing ends the Worker and answers what waits", async () => {
  const worker = new SilentWorker();
  const verifier = new OffloadingVerifier({
    spawnWorker: () => worker,
    soon: queueMicrotask,
    now: () => 0,
    cores: 2,
  });
  const { checks, wanted } = mixture();
  for (let i = 0; i < 49; i++) await all(verifier, checks);
  const waiting = all(verifier, checks);
  await Promise.resolve();
  await Promise.resolve();
  verifier[Symbol.dispose]();
  assertEquals(await waiting, wanted);
  assert(worker.terminated);
});

Deno.test("packChecks() and unpackChecks() are each other's inverse", () => {
  const checks = [signed(), signed(new Uint8Array(0)), signed(new Uint8Array(0xffff))]
    .map(({ spki, signature, message }) => ({ spki, signature, message }));
  assertEquals(
    [...unpackChecks(packChecks(checks))].map(({ spki, signature, message }) => ({
      spki: spki.slice(),
      signature: signature.slice(),
      message: message.slice(),
    })),
    checks,
  );
  const [check] = checks;
  assert(check !== undefined);
  assertThrows(() => packChecks([{ ...check, spki: new Uint8Array(43) }]), TypeError);
  assertThrows(() => packChecks([{ ...check, signature: new Uint8Array(63) }]), TypeError);
  assertThrows(() => packChecks([{ ...check, message: new Uint8Array(0x10000) }]), TypeError);
});
