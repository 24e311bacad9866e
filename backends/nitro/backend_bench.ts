/** Nitro's security module over a real ioctl that a FUSE device answers, beside C on the same device. */
import { backendRows } from "../../tests/bench/backend_rows.ts";
import { callsFromC } from "../../tests/bench/binding.ts";
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { fuseUnavailable, mountFuse } from "../../tests/fakes/fuse/server.ts";
import { makeNsm } from "../../tests/fakes/nitro/module.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { makeNitroAuthorities } from "../../tests/pki/nitro.ts";
import { openIoctlDevice } from "../ffi/device.ts";
import { createProbeHost } from "../probe.ts";
import { createNitroFactory } from "./backend.ts";
import { createNsmDevice } from "./device.ts";

export const benches: readonly BenchSpec[] = backendRows("Nitro", {
  call: "DescribePCR",
  seals: false,
  unavailable: async () => fuseUnavailable() ?? await compilerUnavailable(["sys/ioctl.h"]),
  async open() {
    const closing = new AsyncDisposableStack();
    const { file } = makeNsm(await makeNitroAuthorities(), new Uint8Array(48).fill(1));
    const mount = closing.use(
      await mountFuse({ type: "directory", entries: new Map([["nsm", file]]) }),
    );
    const path = `${mount.path}/nsm`;
    const device = closing.use(
      createNsmDevice(await openIoctlDevice({ kind: "NITRO", path, spawnWorker })),
    );
    const host = createProbeHost();
    const factory = createNitroFactory({ host, spawnWorker, clock: Date.now });
    return {
      backend: closing.use(await factory.open({ device: path })),
      call: () => device.describePcr(0),
      fromC: await callsFromC("ioctl-loop", "ioctl/loop.c", ["nsm", path]),
      calls: 200,
      [Symbol.asyncDispose]: () => closing.disposeAsync(),
    };
  },
});

registerWithDeno(benches, import.meta);
