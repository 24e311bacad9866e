/**
 * TrustZone over a substitute libteec with the real TA behind it: the cost of the binding beside a C
 * program that makes the same calls on the same library.
 */
import { bindingRatio, callsFromC, callsThrough } from "../../tests/bench/binding.ts";
import { type BenchRun, type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { buildTeec, makeTeeDevice, teecUnavailable } from "../../tests/fakes/trustzone/device.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import type { Bytes, TeeBackend } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { createTrustZoneFactory } from "./backend.ts";
import { openTaClient } from "./ta_client.ts";

interface Machine {
  readonly library: string;
  readonly tee: string;
  open(): Promise<TeeBackend>;
}

const CALLS = 200;
const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));

function bench(
  spec: Omit<BenchSpec, "group" | "setup">,
  make: (machine: Machine, closing: AsyncDisposableStack) => Promise<BenchRun["run"]>,
): BenchSpec {
  return {
    ...spec,
    group: "TrustZone",
    setup: async () => {
      const skip = await teecUnavailable();
      if (skip !== undefined) return { skip };
      const library = await buildTeec();
      const closing = new AsyncDisposableStack();
      const { path: tee } = closing.use(await makeTeeDevice());
      const factory = createTrustZoneFactory({
        host: createProbeHost(),
        spawnWorker,
        clock: Date.now,
      });
      const open = () => factory.open({ library, tee });
      const run = await make({ library, tee, open }, closing);
      return { run, close: () => closing.disposeAsync() };
    },
  };
}

/** One seal of 32 bytes by the TA, without the blob around it. */
async function sealCall({ library, tee }: Machine, closing: AsyncDisposableStack) {
  const ta = closing.use(await openTaClient({ spawnWorker, library, tee }));
  const bytes = new Uint8Array(32);
  return () => ta.seal(bytes, bytes);
}

const fromC = ({ library, tee }: Machine) =>
  callsFromC("trustzone-loop", "trustzone/loop.c", [library, tee]);

export const benches: readonly BenchSpec[] = [
  bench({ name: "backend: seal by the TA through the binding" }, async (machine, closing) => {
    const call = await sealCall(machine, closing);
    return async () => void await call();
  }),
  bench({ name: "backend: the same calls from C", unit: "ms" }, async (machine) => {
    const calls = await fromC(machine);
    return () => calls(CALLS);
  }),
  bench({ name: "backend: binding beside C", unit: "x", maxRuns: 9 }, async (machine, closing) => {
    const binding = callsThrough(await sealCall(machine, closing));
    const calls = await fromC(machine);
    return () => bindingRatio(CALLS, binding, calls);
  }),
  bench({ name: "backend: seal 32 B", bytesPerOp: 32 }, async ({ open }, closing) => {
    const { sealer } = closing.use(await open());
    const plaintext = new Uint8Array(32);
    return async () => void await sealer?.seal(plaintext, "measurement", plaintext);
  }),
  bench({ name: "backend: unseal 32 B", bytesPerOp: 32 }, async ({ open }, closing) => {
    const { sealer } = closing.use(await open());
    const plaintext = new Uint8Array(32);
    const blob = await sealer?.seal(plaintext, "measurement", plaintext) ?? plaintext;
    return async () => void await sealer?.unseal(blob, plaintext);
  }),
  bench({ name: "backend: seal 1 MiB", bytesPerOp: 1 << 20 }, async ({ open }, closing) => {
    const { sealer } = closing.use(await open());
    const plaintext = new Uint8Array(1 << 20);
    return async () => void await sealer?.seal(plaintext, "measurement", plaintext);
  }),
  bench({ name: "backend: attest, new report data each" }, async ({ open }, closing) => {
    const { attester } = closing.use(await open());
    return async () => void await attester?.attest(random(64));
  }),
];

registerWithDeno(benches, import.meta);
