/** The sample plugin: a message to a Worker and back beside a plain function call from C. */
import { backendRows } from "../../tests/bench/backend_rows.ts";
import { callsFromC } from "../../tests/bench/binding.ts";
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { buildSamplePlugin } from "../../tests/fakes/plugin/build.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { createPluginFactory } from "./backend.ts";

const data = new Uint8Array(32);

export const benches: readonly BenchSpec[] = backendRows("plugin", {
  call: "nautilus_tee_seal",
  seals: true,
  unavailable: () => compilerUnavailable(["stdint.h", "sys/random.h"]),
  async open() {
    const { path, sha256 } = await buildSamplePlugin();
    const options = { path, sha256, kind: "TrustZone" } as const;
    const backend = await createPluginFactory(options, { spawnWorker, clock: Date.now }).open({
      config: "device=1 program=1 misbehave=none",
    });
    return {
      backend,
      call: async () => await backend.sealer?.seal(data, "measurement", data),
      fromC: await callsFromC("plugin-loop", "plugin/loop.c", [path], ["-ldl"]),
      calls: 500,
      [Symbol.asyncDispose]: async () => await backend[Symbol.asyncDispose](),
    };
  },
});

registerWithDeno(benches, import.meta);
