import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { buildSamplePlugin } from "../../tests/fakes/plugin/build.ts";
import { isSampleEvidence } from "../../tests/fakes/plugin/evidence.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { attestationResult, CheckList, checkReportData } from "../appraisal.ts";
import { createPluginFactory } from "./backend.ts";

const why = await compilerUnavailable(["stdint.h", "sys/random.h"]);

backendSuite("sample plugin", async () => {
  const built = await buildSamplePlugin();
  const factory = createPluginFactory(
    { path: built.path, sha256: built.sha256, kind: "TrustZone" },
    { spawnWorker, clock: Date.now },
  );
  return {
    open: ({ device = "this", program = "this" }: OpenOptions = {}) => {
      const [deviceId, programId] = [device, program].map((which) => which === "this" ? 1 : 2);
      return factory.open({ config: `device=${deviceId} program=${programId} misbehave=none` });
    },
    reportDataOf: ({ data }) => data.slice(0, 64),
    appraise: (evidence, expectedReportData) => {
      const list = new CheckList();
      const good = isSampleEvidence(evidence.data);
      list.expect(good, "signature", "bad_signature", "not the sample's");
      checkReportData(list, evidence.data.subarray(0, 64), { expectedReportData }, "require");
      return Promise.resolve(
        attestationResult({ evidence, policy: { id: "sample", digest: "" }, now: 0 }, {
          teeType: "TrustZone",
          claims: {},
          checks: list.checks,
          expiresAt: undefined,
        }),
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}, {
  measurementLength: 48,
  policies: ["measurement", "signer"],
  counter: false,
  ...(why === undefined ? {} : { unavailable: why }),
});
