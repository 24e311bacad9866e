/**
 * The program with other hardware than this machine's: the same commands and modules, but devices
 * below a folder and evidence appraised under the roots of a test. First argument: the file that says
 * which (world.ts). Never part of the built file.
 */
import { parseCertificate } from "../../../backends/x509/mod.ts";
import { createProbeHost, type ProbeHost } from "../../../backends/probe.ts";
import { createWebCryptoVerifier } from "../../../backends/signatures.ts";
import { createEvidenceVerifier, vendorRoots } from "../../../backends/verification.ts";
import { appraiseSelf } from "../../../cli/node/self_appraisal.ts";
import type { HardwareWorld } from "../../../cli/node/tee.ts";
import { systemRandom } from "../../../cli/random.ts";
import { main } from "../../../main.ts";
import { runThread } from "../../../threads.ts";
import { appraiseSample } from "../plugin/evidence.ts";
import { readWorld, type World } from "./world.ts";

/** Below `root` for what a probe looks for; the backends' own paths lie there already. */
function probeHost(root: string, arch: World["arch"]): ProbeHost {
  const inside = createProbeHost(root, arch);
  const outside = createProbeHost();
  const of = (path: string): ProbeHost => path.startsWith(root) ? outside : inside;
  return {
    arch: inside.arch,
    look: (path) => of(path).look(path),
    readText: (path) => of(path).readText(path),
    list: (path) => of(path).list(path),
  };
}

function hardware({ root, arch, configs, roots }: World): HardwareWorld {
  const der = (text: string): Uint8Array<ArrayBuffer> => Uint8Array.fromBase64(text);
  const vendor = vendorRoots();
  const line = roots.amd &&
    { ark: der(roots.amd.ark), ask: der(roots.amd.ask), asvk: der(roots.amd.ask) };
  const verifier = createEvidenceVerifier({
    signatures: createWebCryptoVerifier(),
    roots: {
      ...vendor,
      ...(line === undefined ? {} : { amd: { Milan: line, Genoa: line, Turin: line } }),
      ...(roots.intel === undefined ? {} : { intel: parseCertificate(der(roots.intel)) }),
    },
  });
  return {
    host: probeHost(root, arch),
    configs,
    appraise: (tee, teeKey) =>
      roots.sample === true
        ? appraiseSample(tee, systemRandom)
        : appraiseSelf(tee, { verifier, random: systemRandom, now: Date.now, teeKey }),
  };
}

if ("DedicatedWorkerGlobalScope" in globalThis) {
  await runThread(self.name);
} else {
  const [path = "", ...args] = Deno.args;
  const write = (stream: typeof Deno.stdout, text: string): void => {
    let bytes = new TextEncoder().encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  };
  Deno.exit(
    await main({
      args,
      env: Deno.env.toObject(),
      stdoutIsTerminal: false,
      stderrIsTerminal: false,
      isRoot: Deno.uid() === 0,
      hostName: Deno.hostname(),
      startedAt: performance.timeOrigin,
      stdout: (text) => write(Deno.stdout, text),
      stderr: (text) => write(Deno.stderr, text),
      hardware: hardware(await readWorld(path)),
      spawnWorker: (name) => new Worker(import.meta.url, { type: "module", name }),
    }),
  );
}
