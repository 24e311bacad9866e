/**
 * SEV-SNP over real ioctls that a FUSE device answers: the cost of the binding beside a C program
 * that makes the same calls on the same device, and the event loop while the processor is slow.
 */
import {
  bindingRatio,
  callsFromC,
  callsThrough,
  timerDelayP99,
} from "../../tests/bench/binding.ts";
import { type BenchRun, type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { fuseUnavailable, mountFuse } from "../../tests/fakes/fuse/server.ts";
import { type FakeSevGuest, makeSevGuest } from "../../tests/fakes/sev_snp/device.ts";
import { makeFirmware } from "../../tests/fakes/sev_snp/firmware.ts";
import { makeAmdTestPki } from "../../tests/fakes/sev_snp/pki.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { openIoctlDevice } from "../ffi/device.ts";
import type { Bytes, TeeBackend } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { createSevSnpFactory } from "./backend.ts";
import { createSnpGuestDevice } from "./device.ts";

interface Machine extends AsyncDisposable {
  readonly path: string;
  readonly device: FakeSevGuest;
  open(): Promise<TeeBackend>;
}

const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
const CALLS = 200;
const SLOW_MS = 10_000;
const IDLE_MS = 2_000;

async function makeMachine(): Promise<Machine> {
  const firmware = await makeFirmware({
    pki: await makeAmdTestPki(Date.now()),
    chipId: new Uint8Array(64).fill(1),
  });
  const device = makeSevGuest(firmware);
  const mount = await mountFuse({
    type: "directory",
    entries: new Map([["sev-guest", device.file]]),
  });
  const path = `${mount.path}/sev-guest`;
  const factory = createSevSnpFactory({
    host: createProbeHost(),
    spawnWorker,
    random,
    clock: Date.now,
  });
  return {
    path,
    device,
    open: () => factory.open({ device: path, reports: "ioctl", vmpl: 0 }),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}

function bench(
  spec: Omit<BenchSpec, "group" | "setup">,
  make: (machine: Machine, closing: AsyncDisposableStack) => Promise<BenchRun["run"]>,
): BenchSpec {
  return {
    ...spec,
    group: "SEV-SNP",
    setup: async () => {
      const skip = fuseUnavailable() ?? await compilerUnavailable(["linux/sev-guest.h"]);
      if (skip !== undefined) return { skip };
      const closing = new AsyncDisposableStack();
      const machine = closing.use(await makeMachine());
      const run = await make(machine, closing);
      return { run, close: () => closing.disposeAsync() };
    },
  };
}

async function derivedKeyCall(path: string, closing: AsyncDisposableStack) {
  const device = closing.use(
    createSnpGuestDevice(await openIoctlDevice({ kind: "SEV", path, spawnWorker })),
  );
  const tcbVersion = new Uint8Array(8);
  return () => device.derivedKey({ fields: 9n, vmpl: 0, guestSvn: 0, tcbVersion });
}

const fromC = (path: string) => callsFromC("sev-loop", "sev_snp/loop.c", [path]);

export const benches: readonly BenchSpec[] = [
  bench({ name: "backend: derived key through the binding" }, async ({ path }, closing) => {
    const call = await derivedKeyCall(path, closing);
    return async () => void await call();
  }),
  bench({ name: "backend: the same calls from C", unit: "ms" }, async ({ path }) => {
    const calls = await fromC(path);
    return () => calls(CALLS);
  }),
  bench({ name: "backend: binding beside C", unit: "x", maxRuns: 9 }, async (machine, closing) => {
    const binding = callsThrough(await derivedKeyCall(machine.path, closing));
    const calls = await fromC(machine.path);
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
  bench({ name: "backend: attest, new report data each" }, async ({ open }, closing) => {
    const { attester } = closing.use(await open());
    return async () => void await attester?.attest(random(64));
  }),
  bench(
    { name: "backend: event loop delay (p99) of this machine, idle", unit: "ms", maxRuns: 1 },
    () =>
      Promise.resolve(() => timerDelayP99(new Promise((resolve) => setTimeout(resolve, IDLE_MS)))),
  ),
  bench(
    {
      name: `backend: event loop delay (p99) while an attest takes ${SLOW_MS / 1000} s`,
      unit: "ms",
      maxRuns: 1,
      target: "<= 5 ms",
    },
    async ({ open, device }, closing) => {
      const { attester } = closing.use(await open());
      return async () => {
        const until = new Promise<void>((resolve) => setTimeout(resolve, SLOW_MS));
        device.fault = () => ({ until });
        return await timerDelayP99(Promise.resolve(attester?.attest(random(64))));
      };
    },
  ),
];

registerWithDeno(benches, import.meta);
