/** The simulation's sealer and attester: the cost of format and cryptography with no hardware under them. */
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import type { Bytes, TeeBackend } from "../mod.ts";
import { createSimulationFactory } from "./backend.ts";
import { measureProgram } from "./program.ts";

async function opened(): Promise<{ backend: TeeBackend; close: () => Promise<void> }> {
  const dataDir = await Deno.makeTempDir({ prefix: "nautilus-bench-" });
  const factory = createSimulationFactory({
    measureProgram: () => Promise.resolve(new Uint8Array(48)),
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    clock: Date.now,
  });
  const backend = await factory.open({ dataDir, create: true });
  return {
    backend,
    close: async () => {
      await backend[Symbol.asyncDispose]();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}

const aad: Bytes = new Uint8Array(16);
const group = "simulated TEE";

export const benches: readonly BenchSpec[] = [
  ...[32, 4096].flatMap((size): BenchSpec[] => [
    {
      name: `seal ${size} B`,
      group,
      bytesPerOp: size,
      setup: async () => {
        const { backend, close } = await opened();
        const plaintext = new Uint8Array(size);
        return {
          run: async () => void await backend.sealer?.seal(plaintext, "signer", aad),
          close,
        };
      },
    },
    {
      name: `unseal ${size} B`,
      group,
      bytesPerOp: size,
      setup: async () => {
        const { backend, close } = await opened();
        const blob = await backend.sealer?.seal(new Uint8Array(size), "signer", aad) ?? aad;
        return { run: async () => void await backend.sealer?.unseal(blob, aad), close };
      },
    },
  ]),
  {
    name: "attest",
    group,
    setup: async () => {
      const { backend, close } = await opened();
      const reportData = new Uint8Array(64);
      return { run: async () => void await backend.attester?.attest(reportData), close };
    },
  },
  {
    name: "measure the runtime's file",
    group,
    maxRuns: 10,
    setup: () => {
      const program = { form: "files", paths: [Deno.execPath()] } as const;
      return Promise.resolve({ run: async () => void await measureProgram(program) });
    },
  },
];

registerWithDeno(benches, import.meta);
