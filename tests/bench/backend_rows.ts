/** The rows that every TEE backend's benchmark has, so that they compare. */
import type { Bytes, TeeBackend } from "../../backends/mod.ts";
import { bindingRatio, type Calls, callsThrough } from "./binding.ts";
import type { BenchRun, BenchSpec } from "./harness.ts";

const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
const data = new Uint8Array(32);

/** A backend opened on its fake, one call of its binding, and the same call from C. */
export interface BenchMachine extends AsyncDisposable {
  readonly backend: TeeBackend;
  readonly call: () => Promise<unknown>;
  readonly fromC: Calls;
  /** Calls of one sample. */
  readonly calls: number;
}

export function backendRows(
  group: string,
  options: {
    /** The call's name. */
    readonly call: string;
    readonly seals: boolean;
    unavailable(): Promise<string | undefined>;
    open(): Promise<BenchMachine>;
  },
): readonly BenchSpec[] {
  const bench = (
    spec: Omit<BenchSpec, "group" | "setup">,
    make: (machine: BenchMachine) => Promise<BenchRun["run"]> | BenchRun["run"],
  ): BenchSpec => ({
    ...spec,
    group,
    setup: async () => {
      const skip = await options.unavailable();
      if (skip !== undefined) return { skip };
      const machine = await options.open();
      const close = async (): Promise<void> => await machine[Symbol.asyncDispose]();
      return { run: await make(machine), close };
    },
  });
  const seal = async ({ sealer }: TeeBackend): Promise<Bytes> =>
    await sealer?.seal(data, "measurement", data) ?? data;
  return [
    bench(
      { name: `backend: ${options.call} through the binding` },
      ({ call }) => async () => void await call(),
    ),
    bench(
      { name: "backend: the same calls from C", unit: "ms" },
      ({ fromC, calls }) => () => fromC(calls),
    ),
    bench(
      { name: "backend: binding beside C", unit: "x", maxRuns: 9 },
      ({ call, fromC, calls }) => () => bindingRatio(calls, callsThrough(call), fromC),
    ),
    ...(options.seals
      ? [
        bench(
          { name: "backend: seal 32 B", bytesPerOp: 32 },
          ({ backend }) => async () => void await seal(backend),
        ),
        bench({ name: "backend: unseal 32 B", bytesPerOp: 32 }, async ({ backend }) => {
          const blob = await seal(backend);
          return async () => void await backend.sealer?.unseal(blob, data);
        }),
      ]
      : []),
    bench(
      { name: "backend: attest, new report data each" },
      ({ backend }) => async () => void await backend.attester?.attest(random(64)),
    ),
  ];
}
