import * as v from "valibot";
import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import { type FakeFile, fuseUnavailable, mountFuse } from "../../tests/fakes/fuse/server.ts";
import { serveSubstitute, substituteUnavailable } from "../../tests/fakes/ioctl/server.ts";
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

const POLICY = v.parse(NitroSection, { pcrs: { "0": ["01".repeat(48)] } });

/** By FUSE, or by a library in the place of libc. */
async function devices(
  how: "fuse" | "substitute",
  entries: Map<string, FakeFile>,
): Promise<AsyncDisposable & { readonly path: string; readonly libc?: string }> {
  return how === "fuse"
    ? await mountFuse({ type: "directory", entries: new Map(entries) })
    : await serveSubstitute(Object.fromEntries(entries));
}

function suite(name: string, how: "fuse" | "substitute", unavailable: string | undefined): void {
  backendSuite(name, async () => {
    const authorities = await makeNitroAuthorities();
    const files = new Map<string, FakeFile>();
    for (const program of [1, 2]) {
      files.set(`nsm-${program}`, makeNsm(authorities, new Uint8Array(48).fill(program)).file);
    }
    const mount = await devices(how, files);
    const factory = createNitroFactory({ host: createProbeHost(), spawnWorker, clock: Date.now });
    const verifier = createNitroVerifier({
      signatures: createWebCryptoVerifier(),
      cache: new X509Cache(),
      root: authorities.root,
    });
    return {
      open: ({ program = "this" }: OpenOptions = {}) =>
        factory.open({
          device: `${mount.path}/nsm-${program === "this" ? 1 : 2}`,
          ...(mount.libc === undefined ? {} : { libc: mount.libc }),
        }),
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
    ...(unavailable === undefined ? {} : { unavailable }),
  });
}

suite("Nitro by ioctl", "fuse", fuseUnavailable());
suite("Nitro by a substitute for libc", "substitute", await substituteUnavailable());
