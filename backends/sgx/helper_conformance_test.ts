import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import { makeSgxMachine, sgxSubstituteUnavailable } from "../../tests/fakes/sgx/helper.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { appraiseIntel } from "../../tests/pki/intel_appraise.ts";
import { TEST_NOW, testPki } from "../../tests/pki/intel_platform.ts";
import type { Bytes } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { decodeSgxQuote } from "./abi.ts";
import { createSgxFactory } from "./backend.ts";

const why = await sgxSubstituteUnavailable();

backendSuite("SGX with a key helper", async () => {
  const { root } = await testPki();
  const folder = await Deno.makeTempDir({ prefix: "nautilus-sgx-" });
  const machines = await Promise.all([1, 2].map(async (processor) => {
    await Deno.mkdir(`${folder}/${processor}`);
    return await makeSgxMachine(`${folder}/${processor}`, processor);
  }));
  const factory = createSgxFactory({
    host: createProbeHost(),
    spawnWorker,
    random: (length): Bytes => crypto.getRandomValues(new Uint8Array(length)),
    clock: Date.now,
  });
  return {
    async open({ device = "this", program = "this" }: OpenOptions = {}) {
      const machine = machines[device === "this" ? 0 : 1];
      if (machine === undefined) throw new Error("there are two machines");
      const enclave = await machine.enclave({ program: program === "this" ? 1 : 2 });
      return await factory.open({ attestation: `${folder}/none`, enclave, ...machine.paths });
    },
    reportDataOf: ({ data }) => decodeSgxQuote(data).report.reportData.slice(),
    appraise: (evidence, expectedReportData) =>
      appraiseIntel({
        tee: "SGX",
        quote: evidence.data,
        endorsements: machines[0]?.collateral ?? [],
        now: TEST_NOW,
        root,
        policy: { mrenclaves: ["01".repeat(32)] },
        expectedReportData,
      }),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}, {
  measurementLength: 32,
  policies: ["measurement", "signer"],
  counter: false,
  ...(why === undefined ? {} : { unavailable: why }),
});
