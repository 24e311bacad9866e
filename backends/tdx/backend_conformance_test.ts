import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import {
  type FakeDirectory,
  type FakeNode,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { type FakeTd, makeTd } from "../../tests/fakes/tdx/guest.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { appraiseIntel } from "../../tests/pki/intel_appraise.ts";
import { TEST_NOW, testPki } from "../../tests/pki/intel_platform.ts";
import type { Bytes } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { decodeTdxQuote } from "./abi.ts";
import { createTdxFactory } from "./backend.ts";

const why = fuseUnavailable();
const MRTD = "01".repeat(48);

backendSuite("TDX by ioctl and configfs-tsm", async () => {
  const { root } = await testPki();
  const tds = new Map<string, FakeTd>();
  const tree: FakeDirectory = { type: "directory", entries: new Map() };
  for (const device of [1, 2]) {
    for (const program of [1, 2]) {
      const td = makeTd({
        mrTd: new Uint8Array(48).fill(program),
        fmspc: `00a0b1c2d3e${device}`,
      });
      tds.set(`${device}-${program}`, td);
      tree.entries.set(`${device}-${program}`, {
        type: "directory",
        entries: new Map<string, FakeNode>([
          ["tdx_guest", td.device],
          ["report", td.tsm.directory],
        ]),
      });
    }
  }
  const mount = await mountFuse(tree);
  const factory = createTdxFactory({
    host: createProbeHost(),
    spawnWorker,
    random: (length): Bytes => crypto.getRandomValues(new Uint8Array(length)),
    clock: Date.now,
  });
  return {
    open: ({ device = "this", program = "this" }: OpenOptions = {}) => {
      const at = `${mount.path}/${device === "this" ? 1 : 2}-${program === "this" ? 1 : 2}`;
      return factory.open({
        device: `${at}/tdx_guest`,
        tsm: `${at}/report`,
        eventLog: `${at}/ccel`,
      });
    },
    reportDataOf: ({ data }) => decodeTdxQuote(data).report.reportData.slice(),
    appraise: (evidence, expectedReportData) =>
      appraiseIntel({
        tee: "TDX",
        quote: evidence.data,
        endorsements: tds.get("1-1")?.collateral ?? [],
        now: TEST_NOW,
        root,
        policy: { mrtds: [MRTD] },
        expectedReportData,
      }),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}, {
  measurementLength: 48,
  policies: [],
  counter: false,
  ...(why === undefined ? {} : { unavailable: why }),
});
