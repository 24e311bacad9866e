import * as v from "valibot";
import { backendSuite, type OpenOptions } from "../../tests/conformance/backend_suite.ts";
import { buildTeec, makeTeeDevice, teecUnavailable } from "../../tests/fakes/trustzone/device.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { TrustZoneSection } from "../policy/trustzone.ts";
import { createProbeHost } from "../probe.ts";
import { createWebCryptoVerifier, ecSpki } from "../signatures.ts";
import { createTrustZoneVerifier } from "./appraise.ts";
import { createTrustZoneFactory } from "./backend.ts";
import { parseTaEvidence } from "./ta_abi.ts";

const why = await teecUnavailable();
const verifier = createTrustZoneVerifier({ signatures: createWebCryptoVerifier() });

async function platformKey(): Promise<{ pkcs8: Uint8Array; spki: string }> {
  const pair = await crypto.subtle.generateKey(
    {
      name: "RSA-PSS",
      modulusLength: 2048,
      publicExponent: Uint8Array.of(1, 0, 1),
      hash: "SHA-256",
    },
    true,
    ["sign", "verify"],
  );
  const [pkcs8, spki] = await Promise.all([
    crypto.subtle.exportKey("pkcs8", pair.privateKey),
    crypto.subtle.exportKey("spki", pair.publicKey),
  ]);
  return { pkcs8: new Uint8Array(pkcs8), spki: new Uint8Array(spki).toBase64() };
}

function suite(name: string, withPlatform: boolean): void {
  backendSuite(name, async () => {
    const [library, otherLibrary] = [await buildTeec(), await buildTeec({ digestByte: 0x22 })];
    const platform = withPlatform ? await platformKey() : undefined;
    await using undo = new AsyncDisposableStack();
    const device = undo.use(await makeTeeDevice(platform?.pkcs8));
    const otherDevice = undo.use(await makeTeeDevice(platform?.pkcs8));
    const factory = createTrustZoneFactory({
      host: createProbeHost(),
      spawnWorker,
      clock: Date.now,
    });
    // What an operator reads off the device in a trusted place.
    let pinned: string;
    let measurement: string;
    {
      await using backend = await factory.open({ library, tee: device.path });
      measurement = (await backend.measurement()).toHex();
      const evidence = await backend.attester?.attest(new Uint8Array(64));
      const key = parseTaEvidence(evidence?.data ?? new Uint8Array(0)).attestationKey;
      pinned = ecSpki("P-256", key).toBase64();
    }
    const memory = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new Uint8Array(48).fill(0x11)),
    );
    const section = v.parse(TrustZoneSection, {
      keys: [
        { id: "ta", spki: pinned },
        ...(platform === undefined ? [] : [{ id: "platform", spki: platform.spki }]),
      ],
      taMemoryDigests: withPlatform ? [memory.toHex()] : [],
      ta: {
        measurements: [measurement],
        minimumCodeVersion: 1,
        platform: withPlatform ? "require" : "if_given",
      },
    });
    const cleanup = undo.move();
    return {
      open: ({ device: where = "this", program = "this" }: OpenOptions = {}) =>
        factory.open({
          library: program === "this" ? library : otherLibrary,
          tee: (where === "this" ? device : otherDevice).path,
        }),
      reportDataOf: ({ data }) => parseTaEvidence(data).reportData,
      appraise: (evidence, expectedReportData) =>
        verifier.appraise({
          evidence,
          endorsements: [],
          expectedReportData,
          policy: { id: "conformance", digest: "", section },
          now: 0,
        }),
      [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
    };
  }, {
    measurementLength: 48,
    policies: ["measurement"],
    counter: false,
    ...(why === undefined ? {} : { unavailable: why }),
  });
}

suite("TrustZone", false);
suite("TrustZone with the attestation PTA", true);
