/** A worker that stays: what it does when heartbeats fail. */
import { assertEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { EXIT } from "./command.ts";
import { runWorker, type Session } from "./worker_run.ts";

const FIGURES = { usage: { cpu_percent: 0, memory_percent: 0, disk_percent: 0 } };
const HOUR_MS = 3_600_000;

Deno.test("runWorker() beats again soon after a heartbeat that failed, and leaves when it is told to stop", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const session: Session = {
    beat() {
      told.push("beat");
      // The next one is due in an hour: whoever waited for it would not get here a second time.
      if (told.length === 1) return Promise.reject(new Error("the connection broke off"));
      stop.abort();
      return Promise.resolve(false);
    },
    leave() {
      told.push("leave");
      return Promise.resolve();
    },
    // deno-lint-ignore require-yield
    async *pods(_known, signal) {
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    },
    [Symbol.dispose]: () => void told.push("disposed"),
  };
  const code = await runWorker({
    nodeId: "n",
    heartbeatMs: HOUR_MS,
    log: getLogger(["test"]),
    stop: stop.signal,
    hook: () => Promise.resolve(),
    join: () => Promise.resolve(session),
    figures: () => Promise.resolve({ ...FIGURES, capacity: undefined }),
    random: () => 0,
  });
  assertEquals(code, EXIT.done);
  assertEquals(told, ["beat", "beat", "leave", "disposed"]);
});

Deno.test("runWorker() runs no program for what is left of a list once it is told to stop, and leaves", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const session: Session = {
    beat: () => Promise.resolve(false),
    leave() {
      told.push("leave");
      return Promise.resolve();
    },
    async *pods() {
      for (const uid of ["a", "b", "c"]) {
        yield await Promise.resolve({ type: "ADDED", object: {}, uid } as const);
      }
    },
    [Symbol.dispose]: () => void told.push("disposed"),
  };
  const code = await runWorker({
    nodeId: "n",
    heartbeatMs: HOUR_MS,
    log: getLogger(["test"]),
    stop: stop.signal,
    hook(_nodeId, { uid }) {
      told.push(uid);
      stop.abort();
      return Promise.resolve();
    },
    join: () => Promise.resolve(session),
    figures: () => Promise.resolve({ ...FIGURES, capacity: undefined }),
    random: () => 0,
  });
  assertEquals(code, EXIT.done);
  assertEquals(told, ["a", "leave", "disposed"]);
});

/** Rejects when the signal aborts, and never otherwise: a master that does not answer. */
function frozen(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    if (signal?.aborted === true) reject(signal.reason);
  });
}

Deno.test("runWorker() gives up the heartbeat under way when it is told to stop, and leaves", async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const code = await runWorker({
    nodeId: "n",
    heartbeatMs: HOUR_MS,
    log: getLogger(["test"]),
    stop: stop.signal,
    hook: () => Promise.resolve(),
    join: () =>
      Promise.resolve({
        beat(_figures, _pods, signal) {
          told.push("beat");
          queueMicrotask(() => stop.abort());
          return frozen(signal);
        },
        leave() {
          told.push("leave");
          return Promise.resolve();
        },
        // deno-lint-ignore require-yield
        async *pods(_known, signal) {
          await frozen(signal);
        },
        [Symbol.dispose]: () => void told.push("disposed"),
      }),
    figures: () => Promise.resolve({ ...FIGURES, capacity: undefined }),
    random: () => 0,
  });
  assertEquals(code, EXIT.done);
  assertEquals(told, ["beat", "leave", "disposed"]);
});

Deno.test("runWorker() does not wait for a master that it is still joining when it is told to stop", async () => {
  const stop = new AbortController();
  const joining = Promise.withResolvers<Session>();
  const disposed = Promise.withResolvers<void>();
  const code = await runWorker({
    nodeId: "n",
    heartbeatMs: HOUR_MS,
    log: getLogger(["test"]),
    stop: stop.signal,
    hook: () => Promise.resolve(),
    join() {
      queueMicrotask(() => stop.abort());
      return joining.promise;
    },
    figures: () => Promise.resolve({ ...FIGURES, capacity: undefined }),
    random: () => 0,
  });
  assertEquals(code, EXIT.done);
  // Its connection is ended, should it come all the same.
  joining.resolve({
    beat: () => Promise.resolve(false),
    leave: () => Promise.resolve(),
    async *pods() {},
    [Symbol.dispose]: disposed.resolve,
  });
  await disposed.promise;
});
