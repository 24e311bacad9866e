/** A planned upgrade between two builds on one simulated device. */
import { assertEquals, assertRejects } from "@std/assert";
import { BackendError, type Bytes, type TeeBackend } from "../backends/mod.ts";
import { createSimulationFactory } from "../backends/simulation/backend.ts";
import { commit, listing, openTestStore, put } from "../tests/fakes/test_store.ts";
import { createTestSealer } from "../tests/fakes/test_sealer.ts";
import { StoreError } from "./errors.ts";
import { createMemoryLog, createMemoryMedium, type MemoryMedium } from "./logs/memory.ts";
import type { Store } from "./types.ts";

const OLD = new Uint8Array(48).fill(1);
const NEW = new Uint8Array(48).fill(2);
const OTHER = new Uint8Array(48).fill(3);

/** One device; the builds that run on it one after the other. */
class Device implements AsyncDisposable {
  readonly #dataDir = Deno.makeTempDirSync();
  readonly medium = createMemoryMedium();
  #made = false;

  async tee(measurement: Bytes): Promise<TeeBackend> {
    const create = !this.#made;
    this.#made = true;
    return await createSimulationFactory({
      measureProgram: () => Promise.resolve(measurement),
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
      clock: () => 1_790_000_000_000,
    }).open({ dataDir: this.#dataDir, create });
  }

  async run<T>(
    measurement: Bytes,
    use: (store: Store) => Promise<T>,
    medium: MemoryMedium = this.medium,
  ): Promise<T> {
    await using tee = await this.tee(measurement);
    await using store = await openTestStore({
      log: createMemoryLog(medium),
      sealer: tee.sealer!,
      sealPolicy: "measurement",
    });
    return await use(store);
  }

  async refusal(measurement: Bytes, medium: MemoryMedium = this.medium): Promise<string> {
    const error = await assertRejects(
      () => this.run(measurement, () => Promise.resolve(), medium),
      StoreError,
    );
    return error.code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#dataDir, { recursive: true });
  }
}

function wrapTypes(store: Store): string[] {
  return store.keyStatus().wraps.map((wrap) =>
    wrap.type === "successor" ? `successor ${wrap.measurement.slice(0, 2)}` : wrap.type
  );
}

Deno.test("an authorised successor opens the store, keeps its secrets, and is alone from then on", async () => {
  await using device = new Device();
  const secret = await device.run(OLD, async (store) => {
    await commit(store, put("etcd", "a", "1"));
    await store.authorizeSuccessor(NEW);
    assertEquals(wrapTypes(store), ["sealer", "successor 02"]);
    await commit(store, put("etcd", "b", "2"));
    return await store.secret("identity");
  });
  assertEquals(await device.refusal(OTHER), "keyring_sealed_elsewhere");
  // Until the successor has begun, the build of today goes on.
  await device.run(
    OLD,
    async (store) => assertEquals(await listing(store, "etcd"), ["a=1", "b=2"]),
  );
  await device.run(NEW, async (store) => {
    assertEquals(await listing(store, "etcd"), ["a=1", "b=2"]);
    assertEquals(await store.secret("identity"), secret);
    assertEquals(wrapTypes(store), ["sealer"]);
  });
  assertEquals(await device.refusal(OLD), "keyring_sealed_elsewhere");
  await device.run(NEW, async (store) => assertEquals((await listing(store, "etcd")).length, 2));
});

Deno.test("a successor that only reads changes nothing; the one before still opens it", async () => {
  await using device = new Device();
  await device.run(OLD, (store) => store.authorizeSuccessor(NEW));
  const before = device.medium.keyring;
  await using tee = await device.tee(NEW);
  {
    await using store = await openTestStore({
      log: createMemoryLog(device.medium),
      sealer: tee.sealer!,
      mode: "open",
      readOnly: true,
    });
    assertEquals(wrapTypes(store), ["sealer", "successor 02"]);
  }
  assertEquals(device.medium.keyring, before);
  await device.run(OLD, () => Promise.resolve());
});

Deno.test("withdrawSuccessor() and another successor shut the former one out", async () => {
  await using device = new Device();
  await device.run(OLD, async (store) => {
    assertEquals(await store.withdrawSuccessor(), false);
    await store.authorizeSuccessor(OTHER);
    await store.authorizeSuccessor(NEW);
    assertEquals(wrapTypes(store), ["sealer", "successor 02"]);
  });
  assertEquals(await device.refusal(OTHER), "keyring_sealed_elsewhere");
  await device.run(OLD, async (store) => {
    assertEquals(await store.withdrawSuccessor(), true);
    assertEquals(wrapTypes(store), ["sealer"]);
  });
  assertEquals(await device.refusal(NEW), "keyring_sealed_elsewhere");
});

Deno.test("an older key ring put back beside a newer head lets no withdrawn successor in", async () => {
  await using device = new Device();
  await device.run(OLD, (store) => store.authorizeSuccessor(NEW));
  const keyring = device.medium.keyring;
  await device.run(OLD, (store) => store.withdrawSuccessor());
  assertEquals(await device.refusal(NEW, { ...device.medium, keyring }), "keyring_altered");
});

Deno.test("authorizeSuccessor() says where the TEE cannot, and where it need not", async () => {
  await using store = await openTestStore({ sealer: createTestSealer() });
  const error = await assertRejects(() => store.authorizeSuccessor(NEW), StoreError);
  assertEquals(error.code, "successor_unsupported");
  assertEquals(error.hint?.includes("recovery-request"), true);
  await commit(store, put("etcd", "still", "there"));

  await using device = new Device();
  await using tee = await device.tee(OLD);
  await using bySigner = await openTestStore({ sealer: tee.sealer!, sealPolicy: "signer" });
  const needless = await assertRejects(() => bySigner.authorizeSuccessor(NEW), StoreError);
  assertEquals(needless.code, "successor_unsupported");

  await using byMeasurement = await openTestStore({ sealer: tee.sealer! });
  const short = await assertRejects(
    () => byMeasurement.authorizeSuccessor(NEW.slice(0, 32)),
    BackendError,
  );
  assertEquals(short.code, "malformed");
  await commit(byMeasurement, put("etcd", "still", "there"));
});
