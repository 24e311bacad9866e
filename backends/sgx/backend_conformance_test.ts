import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import {
  Errno,
  type FakeDirectory,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { type FakeGramine, makeGramine } from "../../tests/fakes/sgx/gramine.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { appraiseIntel } from "../../tests/pki/intel_appraise.ts";
import { TEST_NOW, testPki } from "../../tests/pki/intel_platform.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { decodeSgxQuote } from "./abi.ts";
import { createSgxFactory } from "./backend.ts";

const why = fuseUnavailable();
const MRENCLAVE = "01".repeat(32);
const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
const factory = () =>
  createSgxFactory({ host: createProbeHost(), spawnWorker, random, clock: Date.now });

backendSuite("SGX inside Gramine", async () => {
  const { root } = await testPki();
  const tree: FakeDirectory = { type: "directory", entries: new Map() };
  const enclaves = new Map<string, FakeGramine>();
  for (const device of [1, 2]) {
    for (const program of [1, 2]) {
      const enclave = makeGramine({
        mrEnclave: new Uint8Array(32).fill(program),
        mrSigner: new Uint8Array(32).fill(0x51),
        fmspc: `00a0b1c2d3e${device}`,
      });
      enclaves.set(`${device}-${program}`, enclave);
      tree.entries.set(`${device}-${program}`, enclave.directory);
    }
  }
  const mount = await mountFuse(tree);
  return {
    open: ({ device = "this", program = "this" }: OpenOptions = {}) =>
      factory().open({
        attestation: `${mount.path}/${device === "this" ? 1 : 2}-${program === "this" ? 1 : 2}`,
      }),
    reportDataOf: ({ data }) => decodeSgxQuote(data).report.reportData.slice(),
    appraise: (evidence, expectedReportData) =>
      appraiseIntel({
        tee: "SGX",
        quote: evidence.data,
        endorsements: enclaves.get("1-1")?.collateral ?? [],
        now: TEST_NOW,
        root,
        policy: { mrenclaves: [MRENCLAVE] },
        expectedReportData,
      }),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}, {
  measurementLength: 32,
  policies: ["measurement", "signer"],
  counter: false,
  ...(why === undefined ? {} : { unavailable: why }),
});

Deno.test({
  name: "SGX inside Gramine refuses quotes that are not its own, and says what failed" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const enclave = makeGramine({
      mrEnclave: new Uint8Array(32).fill(1),
      mrSigner: new Uint8Array(32).fill(2),
      fmspc: "00a0b1c2d3e1",
    });
    await using mount = await mountFuse(enclave.directory);
    await using backend = await factory().open({ attestation: mount.path });
    const { attester } = backend;
    assert(attester);
    const cases: [(quote: Bytes) => Bytes, string][] = [
      [() => new Uint8Array(0), "malformed"],
      [(quote) => quote.slice(0, 400), "malformed"],
      [(quote) => quote.fill(9, 48 + 320, 48 + 384), "malformed"],
      [(quote) => quote.fill(9, 48 + 64, 48 + 96), "malformed"],
      [() => new Uint8Array(70_000), "io"],
      [() => {
        throw new Errno(5);
      }, "io"],
    ];
    for (const [change, code] of cases) {
      enclave.onQuote = change;
      const error = await assertRejects(() => attester.attest(random(64)), BackendError);
      assertEquals(error.code, code, error.message);
    }
    enclave.onQuote = (quote) => quote;
    await attester.attest(random(64));
  },
});
