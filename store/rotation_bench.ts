/** Rotation of the data key: how fast records are sealed anew, and what it costs those who write meanwhile. */
import { type BenchRun, type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { openBenchStore, putMany, putOne } from "../tests/bench/sealed_store.ts";
import type { Store } from "./types.ts";

const VALUE_BYTES = 1024;
/** 1 GiB in the nightly form. */
const KEYS = (Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1024 : 64) * 1024;
const GROUP = `rotation of ${KEYS / 1024} MiB, 1 KiB values`;
const PROBE_MS = 2_000;

async function openFilled(): ReturnType<typeof openBenchStore> {
  // Too small a cache for them all: rotation reads from the log, as in a large store.
  const bench = await openBenchStore({ cacheBytes: 8 << 20 });
  await putMany(bench.store, 0, KEYS, crypto.getRandomValues(new Uint8Array(VALUE_BYTES)));
  return bench;
}

async function rotate(store: Store): Promise<void> {
  await store.rotateKeys();
  await store.rotationFinished();
}

const throughput: BenchSpec = {
  name: "rotate, nobody else at work",
  group: GROUP,
  bytesPerOp: VALUE_BYTES,
  opsPerRun: KEYS,
  maxRuns: 2,
  async setup(): Promise<BenchRun> {
    const bench = await openFilled();
    return {
      run: () => rotate(bench.store),
      close: async () => await bench[Symbol.asyncDispose](),
    };
  },
};

function putDuring(rotating: boolean, inFlight: number): BenchSpec {
  return {
    name: rotating ? "put while keys are rotated" : "put, no rotation",
    group: GROUP,
    inFlight,
    bytesPerOp: VALUE_BYTES,
    async setup(): Promise<BenchRun> {
      const bench = await openFilled();
      const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
      const background = rotating ? rotateOnAndOn(bench.store) : undefined;
      let next = 0;
      return {
        run: () => putOne(bench.store, next++ % KEYS, value),
        async close() {
          await background?.stop();
          await bench[Symbol.asyncDispose]();
        },
      };
    },
  };
}

/** p99 of puts with a rotation behind them, as a multiple of p99 without, in one store one after the other. */
function p99Ratio(inFlight: number): BenchSpec {
  return {
    name: `put p99, rotating / not, ${inFlight} in flight`,
    group: GROUP,
    unit: "x",
    maxRuns: 5,
    target: "<= 2.0 x",
    async setup(): Promise<BenchRun> {
      const bench = await openFilled();
      const value = crypto.getRandomValues(new Uint8Array(VALUE_BYTES));
      return {
        async run() {
          const without = await p99(bench.store, inFlight, value);
          const background = rotateOnAndOn(bench.store);
          const during = await p99(bench.store, inFlight, value);
          await background.stop();
          return during / without;
        },
        close: async () => await bench[Symbol.asyncDispose](),
      };
    },
  };
}

function rotateOnAndOn(store: Store): { stop(): Promise<void> } {
  let running = true;
  const rotating = (async () => {
    while (running) await rotate(store);
  })();
  return {
    stop() {
      running = false;
      return rotating;
    },
  };
}

async function p99(
  store: Store,
  inFlight: number,
  value: Uint8Array<ArrayBuffer>,
): Promise<number> {
  const samples: number[] = [];
  const end = performance.now() + PROBE_MS;
  let next = 0;
  await Promise.all(Array.from({ length: inFlight }, async () => {
    while (performance.now() < end) {
      const startedAt = performance.now();
      await putOne(store, next++ % KEYS, value);
      samples.push(performance.now() - startedAt);
    }
  }));
  samples.sort((a, b) => a - b);
  return samples[Math.floor(samples.length * 0.99)] ?? 0;
}

export const benches: readonly BenchSpec[] = [
  throughput,
  putDuring(false, 16),
  putDuring(true, 16),
  p99Ratio(1),
  p99Ratio(16),
];

registerWithDeno(benches, import.meta);
