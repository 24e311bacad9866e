import { assert, assertEquals, assertRejects } from "@std/assert";
import * as v from "valibot";
import { loadLibcryptoVerifier } from "./ffi/libcrypto_verify.ts";
import type { Bytes } from "./mod.ts";
import {
  createWebCryptoVerifier,
  ecdsaDerToP1363,
  ecdsaInRange,
  ecdsaP1363ToDer,
  ecSpki,
  isEcSpki,
  type SignatureAlgorithm,
  type SignatureVerifier,
} from "./signatures.ts";

const Wycheproof = v.object({
  numberOfTests: v.number(),
  testGroups: v.array(v.object({
    publicKeyDer: v.optional(v.string()),
    publicKey: v.optional(v.unknown()),
    tests: v.array(v.object({
      tcId: v.number(),
      comment: v.string(),
      msg: v.string(),
      sig: v.string(),
      result: v.picklist(["valid", "invalid", "acceptable"]),
    })),
  })),
});

const FILES: readonly [file: string, algorithm: SignatureAlgorithm][] = [
  ["ecdsa_secp256r1_sha256_test.json", { kind: "ecdsa", curve: "P-256", format: "der" }],
  ["ecdsa_secp256r1_sha256_p1363_test.json", { kind: "ecdsa", curve: "P-256", format: "p1363" }],
  ["ecdsa_secp384r1_sha384_test.json", { kind: "ecdsa", curve: "P-384", format: "der" }],
  ["ecdsa_secp384r1_sha384_p1363_test.json", { kind: "ecdsa", curve: "P-384", format: "p1363" }],
  ["rsa_pss_4096_sha384_mgf1_48_test.json", { kind: "rsa-pss", hash: "SHA-384", saltLength: 48 }],
  ["ed25519_test.json", { kind: "ed25519" }],
];

const libcrypto = () => loadLibcryptoVerifier();
const PROVIDERS: readonly [
  string,
  () => { verifier: SignatureVerifier; close(): void } | string,
][] = [
  ["webcrypto", () => ({ verifier: createWebCryptoVerifier(), close: () => {} })],
  ["libcrypto", () => {
    const load = libcrypto();
    return load.loaded
      ? { verifier: load.verifier, close: () => load.verifier.close() }
      : load.reason;
  }],
];

for (const [provider, open] of PROVIDERS) {
  for (const [file, algorithm] of FILES) {
    const url = new URL(`../../shared/vectors/wycheproof/${file}`, import.meta.url);
    let text: string | undefined;
    try {
      text = Deno.readTextFileSync(url);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const opened = text === undefined ? `../shared/vectors/wycheproof/${file} is not here` : open();
    if (typeof opened === "string" || text === undefined) {
      Deno.test({
        name: `Wycheproof ${file} with ${provider}: skipped, ${String(opened)}`,
        ignore: true,
        fn: () => {},
      });
      continue;
    }
    opened.close();
    const suite = v.parse(Wycheproof, JSON.parse(text));
    Deno.test(`Wycheproof ${file} with ${provider}`, async () => {
      const again = open();
      assert(typeof again !== "string");
      let run = 0;
      for (const group of suite.testGroups) {
        const spki = groupKey(group);
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          run++;
          const good = await again.verifier.verify(
            algorithm,
            spki,
            Uint8Array.fromHex(sig),
            Uint8Array.fromHex(msg),
          );
          // "acceptable" leaves both answers open; nothing of the kind is relied on here.
          if (result !== "acceptable") {
            assertEquals(good, result === "valid", `case ${tcId}: ${comment}`);
          }
        }
      }
      again.close();
      assertEquals(run, suite.numberOfTests);
    });
  }
}

function groupKey(group: { publicKeyDer?: string | undefined; publicKey?: unknown }): Bytes {
  if (group.publicKeyDer !== undefined) return Uint8Array.fromHex(group.publicKeyDer);
  throw new Error("the group has no key");
}

Deno.test("ecdsaDerToP1363() takes strict DER alone", () => {
  const good = "3006020101020102";
  assertEquals(
    ecdsaDerToP1363(Uint8Array.fromHex(good), "P-256")?.toHex(),
    `${"00".repeat(31)}01${"00".repeat(31)}02`,
  );
  for (
    const bad of [
      "",
      "3000",
      "3003020101",
      "300602010102010200",
      "3007020101020102",
      "30810602010102 0102".replace(" ", ""),
      "300702020001020102",
      "3006020181020102",
      "300502000201 02".replace(" ", ""),
      "3006030101020102",
      "3080020101020102 0000".replace(" ", ""),
      `3025022101${"00".repeat(32)}020101`,
    ]
  ) assertEquals(ecdsaDerToP1363(Uint8Array.fromHex(bad), "P-256"), undefined, bad);
});

Deno.test("ecdsaP1363ToDer() is what ecdsaDerToP1363() reads back", () => {
  for (const curve of ["P-256", "P-384"] as const) {
    const size = curve === "P-256" ? 32 : 48;
    for (let i = 0; i < 200; i++) {
      const raw = crypto.getRandomValues(new Uint8Array(2 * size));
      if (i % 3 === 0) raw.fill(0, 0, i % size);
      raw[size - 1] = (raw[size - 1] ?? 0) | 1;
      raw[2 * size - 1] = (raw[2 * size - 1] ?? 0) | 1;
      assertEquals(ecdsaDerToP1363(ecdsaP1363ToDer(raw), curve)?.toHex(), raw.toHex());
    }
  }
});

Deno.test("ecdsaInRange() wants r and s between 1 and n-1", () => {
  const n = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
  const one = "00".repeat(31) + "01";
  const below = n.slice(0, -1) + "0";
  const range = (r: string, s: string) => ecdsaInRange(Uint8Array.fromHex(r + s), "P-256");
  assert(range(one, below) && range(below, one));
  for (const bad of ["00".repeat(32), n, "ff".repeat(32)]) {
    assert(!range(bad, one) && !range(one, bad));
  }
  assert(!ecdsaInRange(new Uint8Array(63), "P-256"));
});

Deno.test("providers say no to keys that do not fit, and agree with each other", async () => {
  const load = libcrypto();
  const verifiers: SignatureVerifier[] = [
    createWebCryptoVerifier({ maxKeys: 1 }),
    ...load.loaded ? [load.verifier] : [],
  ];
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const data = new TextEncoder().encode("data");
  const signature = new Uint8Array(
    await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, pair.privateKey, data),
  );
  const p1363: SignatureAlgorithm = { kind: "ecdsa", curve: "P-256", format: "p1363" };
  const offCurve = ecSpki("P-256", new Uint8Array(64).fill(1));
  assert(isEcSpki("P-256", spki) && !isEcSpki("P-384", spki));
  for (const verifier of verifiers) {
    for (
      const [algorithm, key, wanted] of [
        [p1363, spki, true],
        [{ ...p1363, format: "der" }, spki, false],
        [{ ...p1363, curve: "P-384" }, spki, false],
        [p1363, offCurve, false],
        [p1363, new Uint8Array(0), false],
        [{ kind: "ed25519" }, spki, false],
        [{ kind: "rsa-pss", hash: "SHA-384", saltLength: 48 }, spki, false],
        [{ kind: "rsa-pkcs1", hash: "SHA-256" }, spki, false],
        [{ kind: "ed25519" }, Uint8Array.of(0x30, 0), false],
        [p1363, spki, true],
      ] as const
    ) {
      assertEquals(
        await verifier.verify(algorithm, key, signature, data),
        wanted,
        `${verifier.name} ${JSON.stringify(algorithm)}`,
      );
    }
  }
  if (load.loaded) {
    load.verifier.close();
    load.verifier.close();
    await assertRejects(() => load.verifier.verify(p1363, spki, signature, data), Error, "closed");
  }
});
