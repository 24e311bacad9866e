/**
 * Results of chain requests on their way to the chain, against a chain that repeats itself, workers
 * that answer first, nodes that lag or lose answers, empty purses and crashes: each is there once at
 * most, and it is the stored one.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { REQUESTER } from "../tests/fakes/api.ts";
import { crashAt } from "../tests/fakes/crash.ts";
import type { WriterFault } from "../tests/fakes/sui/memory_writer.ts";
import {
  GAS_BUDGET,
  type Life,
  type Recorded,
  type WriteBackBreakage,
  WriteBackWorld,
} from "../tests/fakes/write_back_world.ts";
import type { StoredResult } from "./chain_results.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const OTHER = `0x${"77".repeat(32)}`;
const CRASHES = ["append", "written", "appended", "execute", "executed"] as const;
const FAULTS: readonly WriterFault[] = ["down", "lost", "refused"];

interface Step {
  readonly act:
    | "request"
    | "request that is refused"
    | "request again under its id"
    | "another answers first"
    | "another answers and it is forgotten"
    | "follow"
    | "write"
    | "node"
    | "node lags"
    | "purse is emptied"
    | "purse is filled"
    | "restart"
    | "crash";
  readonly n: number;
}
const ACTS: readonly Step["act"][] = [
  "request",
  "request that is refused",
  "request again under its id",
  "another answers first",
  "another answers and it is forgotten",
  "follow",
  "write",
  "node",
  "node lags",
  "purse is emptied",
  "purse is filled",
  "restart",
  "crash",
];

/** Everything that can be seen in the end. */
interface Seen {
  readonly master: string;
  readonly recorded: readonly Recorded[];
  /** Of every request id, oldest first. */
  readonly stored: ReadonlyMap<string, readonly StoredResult[]>;
}

async function play(steps: readonly Step[], breakage: WriteBackBreakage = {}): Promise<Seen> {
  const world = new WriteBackWorld(breakage);
  const ids: string[] = [];
  const forgotten = new Set<string>();
  let life: Life = await world.open();
  const { address } = life;
  world.gateway.fund(address, 100n * GAS_BUDGET);
  const oneOf = (n: number) => ids[n % Math.max(1, ids.length)];
  for (const { act, n } of steps) {
    world.now += 1_000;
    switch (act) {
      case "request":
      case "request that is refused":
        ids.push(`r-${ids.length}`);
        world.schedule(ids.at(-1) ?? "", `x-${n}`, act === "request" ? REQUESTER : OTHER);
        break;
      case "request again under its id": {
        const id = oneOf(n);
        // What is forgotten is gone from the chain: its id would be another request's.
        if (id !== undefined && !forgotten.has(id)) world.schedule(id, `again-${n}`);
        break;
      }
      case "another answers first":
      case "another answers and it is forgotten": {
        const id = oneOf(n);
        if (id === undefined || world.recorded().some(({ requestId }) => requestId === id)) break;
        world.gateway.answer(id, OTHER, "a worker's word");
        if (act === "another answers first") break;
        forgotten.add(id);
        world.gateway.forget(id, OTHER);
        break;
      }
      case "follow":
        await life.follow();
        break;
      case "write": {
        const status = await life.write();
        if (status.balanceMist !== undefined && status.balanceMist < GAS_BUDGET) {
          assertEquals(status.state, "failing");
          // A node far behind does not know the MasterCap yet, which is told first.
          if (world.ledger.lag > 0n) break;
          assertStringIncludes(status.detail, `${address} holds`);
          assertStringIncludes(status.detail, "send it SUI");
        }
        break;
      }
      case "node": {
        const fault = FAULTS[n % FAULTS.length];
        if (fault !== undefined) world.writer.faults.push(fault);
        break;
      }
      case "node lags":
        world.ledger.lag = BigInt(n % 6);
        break;
      case "purse is emptied":
        for (const { objectId } of await world.writer.gasCoins(address)) {
          world.chain.execute(address, (tx) => tx.remove(objectId));
        }
        break;
      case "purse is filled":
        world.gateway.fund(address, 10n * GAS_BUDGET);
        break;
      case "restart":
        await life[Symbol.asyncDispose]();
        life = await world.open();
        break;
      case "crash": {
        await life[Symbol.asyncDispose]();
        const crash = crashAt(CRASHES[n % CRASHES.length], n % 4);
        const living = async () => {
          const doomed = await world.open({ crash });
          await doomed.follow();
          await doomed.write();
          return doomed;
        };
        // What is left of one that died is what its log had; nobody closes it.
        const survivor = await Promise.race([living(), crash.happened]);
        if (survivor !== undefined) await survivor[Symbol.asyncDispose]();
        life = await world.open();
        break;
      }
    }
  }
  // In the end everything works again, and what waits is written.
  world.ledger.lag = 0n;
  world.writer.faults.length = 0;
  world.gateway.fund(address, 100n * GAS_BUDGET);
  await life.follow();
  for (let tries = 0; tries < 200; tries++) {
    const { state, waiting } = await life.write();
    if (state === "on" && waiting === 0) break;
  }
  const stored = new Map<string, readonly StoredResult[]>();
  for (const id of ids) stored.set(id, await life.executor.results(id));
  await life[Symbol.asyncDispose]();
  return { master: address, recorded: world.recorded(), stored };
}

/** What must hold of what was seen. @throws {AssertionError} */
function judge({ master, recorded, stored }: Seen): void {
  for (const { requestId } of recorded) {
    const answers = recorded.filter((one) => one.requestId === requestId);
    assertEquals(answers.length, 1, `${requestId}: one answer`);
    assert(stored.has(requestId), `${requestId}: asked for`);
  }
  for (const [id, results] of stored) {
    const ours = recorded.filter(({ requestId, by }) => requestId === id && by === master);
    const written = results.filter(({ writeBack }) => writeBack === "written");
    assert(results.length > 0, `${id}: executed`);
    assertEquals(
      written.length,
      ours.length,
      `${id}: what is told as written is there, and no more`,
    );
    assert(results.every(({ writeBack }) => writeBack !== "waiting" && writeBack !== "off"), id);
    for (const { result } of written) {
      assertEquals(ours, [{
        requestId: id,
        by: master,
        success: result.success,
        output: result.digest === undefined ? "" : `sha256:${result.digest}`,
        error: result.success ? "" : String(result.code),
      }]);
    }
    const isForeign = recorded.some(({ requestId, by }) => requestId === id && by !== master);
    assertEquals(ours.length === 1, !isForeign, `${id}: answered by us unless by another`);
  }
}

const step = (act: Step["act"], n = 0): Step => ({ act, n });

const SCRIPT: readonly Step[] = [
  step("request"),
  step("request that is refused"),
  step("request", 1),
  step("request", 2),
  step("request again under its id", 2),
  step("another answers first", 3),
  step("follow"),
  step("node", 1),
  step("write"),
  step("crash", 3),
  step("node", 0),
  step("node", 2),
  step("write"),
  step("restart"),
  step("purse is emptied"),
  step("write"),
  step("purse is filled"),
  step("request", 5),
  step("node lags", 1),
  step("follow"),
  step("node lags", 5),
  step("write"),
  step("node lags", 0),
  step("request", 6),
  step("another answers and it is forgotten", 5),
  step("follow"),
];

Deno.test("model: every result is written once at most, and it is the stored one, whatever happens on the way", async () => {
  const any = fc.record({
    act: fc.oneof(
      { weight: 2, arbitrary: fc.constantFrom<Step["act"][]>("request", "follow", "write") },
      { weight: 3, arbitrary: fc.constantFrom(...ACTS) },
    ),
    n: fc.nat(20),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(any, { minLength: 3, maxLength: 25 }),
      async (steps) => judge(await play(steps)),
    ),
    { numRuns: NIGHTLY ? 1_500 : 40 },
  );
});

Deno.test("model: the script has every act, and holds; whatever is seen otherwise than it was is noticed", async () => {
  const acted = new Set(SCRIPT.map(({ act }) => act));
  assert(ACTS.every((act) => acted.has(act)), ACTS.filter((act) => !acted.has(act)).join());
  const seen = await play(SCRIPT);
  judge(seen);
  const { recorded, stored } = seen;
  assert(recorded.length > 3 && recorded.some(({ by }) => by === OTHER));
  const other = (text: string) => text === "" ? "x" : "";
  recorded.forEach((one, i) => {
    const lies: (readonly Recorded[])[] = [
      [...recorded, one],
      recorded.toSpliced(i, 1),
      recorded.with(i, { ...one, requestId: "r-nobody" }),
      recorded.with(i, { ...one, by: one.by === OTHER ? seen.master : OTHER }),
    ];
    if (one.by === seen.master) {
      lies.push(
        recorded.with(i, { ...one, success: !one.success }),
        recorded.with(i, { ...one, output: other(one.output) }),
        recorded.with(i, { ...one, error: other(one.error) }),
      );
    }
    for (const lie of lies) mustNotice({ ...seen, recorded: lie });
  });
  for (const [id, results] of stored) {
    results.forEach((one, i) => {
      const writeBack = one.writeBack === "written" ? "answered" : "written";
      for (const lie of [writeBack, "waiting"] as const) {
        const told = results.with(i, { ...one, writeBack: lie });
        mustNotice({ ...seen, stored: new Map(stored).set(id, told) });
      }
    });
    mustNotice({ ...seen, stored: new Map(stored).set(id, []) });
  }
});

function mustNotice(seen: Seen): void {
  let noticed = false;
  try {
    judge(seen);
  } catch {
    noticed = true;
  }
  assert(noticed, "a lie passes");
}

const BROKEN: readonly [what: string, breakage: WriteBackBreakage, steps: readonly Step[]][] = [
  ["a signer that puts a result under another id", {
    signer: (real) => ({
      ...real,
      sign: (result, ...rest) => real.sign({ ...result, requestId: "r-1" }, ...rest),
    }),
  }, [step("request"), step("request", 1), step("follow"), step("write")]],
  ["a signer that writes another digest", {
    signer: (real) => ({
      ...real,
      sign: (result, ...rest) => real.sign({ ...result, output: "sha256:00" }, ...rest),
    }),
  }, [step("request"), step("follow"), step("write")]],
  ["a store that does not keep what was signed, when the answer is lost", {
    store: (real) =>
      new Proxy(real, {
        get(store, name) {
          if (name !== "txn") {
            const value: unknown = Reflect.get(store, name, store);
            return typeof value === "function" ? value.bind(store) : value;
          }
          return (request: Parameters<typeof store.txn>[0]) => {
            const keeps = request.success.some((one) =>
              one.type === "put" && new TextDecoder().decode(one.value).includes('"transaction":')
            );
            return store.txn(keeps ? { ...request, success: [] } : request);
          };
        },
      }),
  }, [step("request"), step("follow"), step("node", 1), step("write")]],
];
for (const [what, breakage, steps] of BROKEN) {
  Deno.test(`model: ${what}: caught`, async () => {
    judge(await play(steps));
    await assertRejects(async () => judge(await play(steps, breakage)));
  });
}
