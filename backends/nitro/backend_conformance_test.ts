import * as v from "valibot";
import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import { type FakeDirectory, fuseUnavailable, mountFuse } from "../../tests/fakes/fuse/server.ts";
import { makeNsm } from "../../tests/fakes/nitro/module.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { makeNitroAuthorities, NITRO_NOW } from "../../tests/pki/nitro.ts";
import { NitroSection } from "../policy/nitro.ts";
import { createProbeHost } from "../probe.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { parseDocument } from "./abi.ts";
import { createNitroVerifier } from "./appraise.ts";
import { createNitroFactory } from "./backend.ts";

const why = fuseUnavailable();
const POLICY = v.parse(NitroSection, { pcrs: { "0": ["01".repeat(48)] } });

backendSuite("Nitro by ioctl", async () => {
  const authorities = await makeNitroAuthorities();
  const tree: FakeDirectory = { type: "directory", entries: new Map() };
  for (const program of [1, 2]) {
    tree.entries.set(`nsm-${program}`, makeNsm(authorities, new Uint8Array(48).fill(program)).file);
  }
  const mount = await mountFuse(tree);
  const factory = createNitroFactory({ host: createProbeHost(), spawnWorker, clock: Date.now });
  const verifier = createNitroVerifier({
    signatures: createWebCryptoVerifier(),
    cache: new X509Cache(),
    root: authorities.root,
  });
  return {
    open: ({ program = "this" }: OpenOptions = {}) =>
      factory.open({ device: `${mount.path}/nsm-${program === "this" ? 1 : 2}` }),
    reportDataOf: ({ data }) => parseDocument(data).userData ?? new Uint8Array(0),
    appraise: (evidence, expectedReportData) =>
      verifier.appraise({
        evidence,
        endorsements: [],
        expectedReportData,
        policy: { id: "conformance", digest: "", section: POLICY },
        now: NITRO_NOW,
      }),
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}, {
  measurementLength: 48,
  policies: [],
  counter: false,
  ...(why === undefined ? {} : { unavailable: why }),
});
