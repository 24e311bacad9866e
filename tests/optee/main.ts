/**
 * `make test-optee`: our TA and the backend on real OP-TEE, in QEMU, from Debian's packages (and
 * Deno for arm64 from npm). Opt-in: it downloads 200 MB the first time. Nothing is installed.
 */
import * as v from "valibot";
import { TrustZoneSection } from "../../backends/policy/trustzone.ts";
import { createWebCryptoVerifier, ecSpki } from "../../backends/signatures.ts";
import { createTrustZoneVerifier } from "../../backends/trustzone/appraise.ts";
import { parseTaEvidence } from "../../backends/trustzone/ta_abi.ts";
import { EVIDENCE_MEDIA_TYPE } from "../../backends/attestation.ts";
import { buildFirmware, buildTa, bundle, fetchDeno } from "./build.ts";
import type { Entry } from "./initramfs.ts";
import { boot, checkLayouts } from "./machine.ts";
import { assertTools, type Fetched, fetchPackages } from "./packages.ts";

const FOLDER = new URL("../../dist/optee", import.meta.url).pathname;

const say = async (text: string): Promise<void> => {
  await Deno.stdout.write(new TextEncoder().encode(`${text}\n`));
};

async function timed<T>(name: string, job: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await job();
  await say(`${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  return result;
}

/** What the guest said. */
interface Heard {
  readonly results: string[];
  readonly values: Map<string, string[]>;
  ended: string | undefined;
}

async function runGuest(
  fetched: Fetched,
  firmware: string,
  files: readonly Entry[],
): Promise<Heard> {
  const heard: Heard = { results: [], values: new Map(), ended: undefined };
  let quiet = true;
  await boot({
    fetched,
    firmware,
    folder: FOLDER,
    files,
    line: async (text) => {
      const [mark, name = "", ...values] = text.split(" ");
      if (mark === ">") heard.values.set(name, values);
      if (/^(ok|FAIL) {2,}/.test(text)) heard.results.push(text);
      if (text.startsWith("guest ended with ")) heard.ended = text.slice(17).trim();
      // What the firmware and the boot loader say, nobody needs.
      if (text.includes("TEE_MODE") || /^(SGX|SEV|ok|FAIL|error|warning)/i.test(text)) {
        quiet = false;
      }
      if (!quiet && heard.ended === undefined && mark !== ">") await say(`  | ${text}`);
    },
  });
  return heard;
}

function assertAll(heard: Heard, wanted: number): void {
  const failed = heard.results.filter((line) => !line.startsWith("ok"));
  if (failed.length > 0 || heard.ended !== "0" || heard.results.length !== wanted) {
    throw new Error(
      `${failed.length} of ${heard.results.length} steps failed (${wanted} wanted), the guest ended with ${
        heard.ended ?? "nothing"
      }: see dist/optee/secure.log`,
    );
  }
}

/** The evidence, as a relying party would look at it: key and measurement pinned. */
async function verify([reportData = "", data = ""]: readonly string[], measurement: string) {
  const evidence = Uint8Array.fromBase64(data);
  const section = v.parse(TrustZoneSection, {
    keys: [{
      id: "qemu",
      spki: ecSpki("P-256", parseTaEvidence(evidence).attestationKey).toBase64(),
    }],
    ta: { measurements: [measurement], minimumCodeVersion: 1, platform: "if_given" },
  });
  const appraise = async (bytes: Uint8Array<ArrayBuffer>) =>
    (await createTrustZoneVerifier({ signatures: createWebCryptoVerifier() }).appraise({
      evidence: { mediaType: EVIDENCE_MEDIA_TYPE.TrustZone, data: bytes, endorsements: [] },
      endorsements: [],
      expectedReportData: Uint8Array.fromBase64(reportData),
      policy: { id: "optee", digest: "", section },
      now: Date.now(),
    })).tier;
  const flipped = evidence.slice();
  flipped[40] = (flipped[40] ?? 0) ^ 1;
  const tiers = [await appraise(evidence), await appraise(flipped)];
  if (tiers.join() !== "affirming,contraindicated") {
    throw new Error(`the evidence appraises as ${tiers.join(", and altered as ")}`);
  }
  await say("ok    the evidence verifies here: affirming; with a bit changed: contraindicated");
}

async function main(): Promise<void> {
  await assertTools();
  await Deno.remove(FOLDER, { recursive: true }).catch(() => undefined);
  await Deno.mkdir(FOLDER, { recursive: true });
  const fetched = await timed("Debian's packages", () => fetchPackages(FOLDER));
  await say(fetched.versions.map((version) => `  ${version}`).join("\n"));
  const deno = await timed("Deno for arm64", () => fetchDeno(FOLDER));
  await say(
    `  ${deno.version}${
      deno.version === Deno.version.deno ? "" : `: npm has no ${Deno.version.deno} for arm64`
    }`,
  );
  const firmware = await timed("Trusted Firmware-A", () => buildFirmware(fetched, FOLDER));
  const own = await timed("the TA", () => buildTa(fetched, FOLDER, 1));
  const newer = await buildTa(fetched, FOLDER, 2);
  await say(`  measurement ${own.measurement}\n  signed with the kit's key, which is public`);
  await say(await checkLayouts(fetched));
  const damaged = own.signed.slice();
  damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1;
  const program: Entry[] = [
    { path: "deno", content: await Deno.readFile(deno.path), mode: 0o755 },
    {
      path: "nautilus.js",
      content: await bundle(new URL("../../main.ts", import.meta.url), `${FOLDER}/nautilus.js`),
    },
    {
      path: "guest.js",
      content: await bundle(new URL("./guest.ts", import.meta.url), `${FOLDER}/guest.js`),
    },
    { path: "lib/optee_armtz/own.ta", content: own.signed },
    { path: "lib/optee_armtz/newer.ta", content: newer.signed },
    { path: "lib/optee_armtz/damaged.ta", content: damaged },
  ];
  const first = await timed("first boot", () => runGuest(fetched, firmware, program));
  assertAll(first, 16);
  const measured = first.values.get("measurement")?.[0];
  if (measured !== own.measurement) {
    throw new Error(`the TA reports measurement ${measured}, its sources give ${own.measurement}`);
  }
  await say("ok    the measurement is the one that the sources give");
  await verify(first.values.get("evidence") ?? [], own.measurement);
  const blob = new TextEncoder().encode(first.values.get("blob")?.[0] ?? "");
  const second = await timed(
    "second boot",
    () => runGuest(fetched, firmware, [...program, { path: "blob", content: blob }]),
  );
  assertAll(second, 3);
  await say(`${first.results.length + second.results.length + 2} passed on OP-TEE`);
}

if (import.meta.main) await main();
