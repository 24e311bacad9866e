/**
 * The SGX key helper over the substitute for Intel's libraries. They answer within microseconds, so
 * the ratio is that of a message to a Worker and back to a plain function call.
 */
import { backendRows } from "../../tests/bench/backend_rows.ts";
import { callsFromC } from "../../tests/bench/binding.ts";
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { makeSgxMachine, sgxSubstituteUnavailable } from "../../tests/fakes/sgx/helper.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { openSgxHelper } from "./helper.ts";
import { openSgxHelperBackend } from "./helper_backend.ts";

const data = new Uint8Array(32);

export const benches: readonly BenchSpec[] = backendRows("SGX key helper", {
  call: "ecall seal",
  seals: true,
  unavailable: sgxSubstituteUnavailable,
  async open() {
    const closing = new AsyncDisposableStack();
    const folder = await Deno.makeTempDir({ prefix: "nautilus-sgx-" });
    closing.defer(() => Deno.remove(folder, { recursive: true }));
    const { enclave: write, paths } = await makeSgxMachine(folder, 1);
    const enclave = await write({ program: 1 });
    const helper = closing.use(await openSgxHelper({ paths, enclave, spawnWorker }));
    return {
      backend: closing.use(
        await openSgxHelperBackend({ paths, enclave, spawnWorker, clock: Date.now }),
      ),
      call: () => helper.seal("measurement", data, data),
      fromC: await callsFromC("sgx-loop", "sgx/loop.c", [paths.shim, enclave], ["-ldl"]),
      calls: 500,
      [Symbol.asyncDispose]: () => closing.disposeAsync(),
    };
  },
});

registerWithDeno(benches, import.meta);
