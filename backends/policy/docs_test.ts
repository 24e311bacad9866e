import { assert, assertEquals } from "@std/assert";
import * as roots from "../roots/mod.ts";
import { parsePolicy } from "./mod.ts";

const guide = await Deno.readTextFile(new URL("../../docs/VERIFYING.md", import.meta.url));

Deno.test("docs/VERIFYING.md: every policy in it parses", () => {
  const policies = [...guide.matchAll(/```jsonc\n([\s\S]*?)```/g)].map(([, text = ""]) =>
    parsePolicy(text)
  );
  const sections = new Set(
    policies.flatMap(({ sections }) =>
      Object.entries(sections).filter(([, section]) => section !== undefined).map(([name]) => name)
    ),
  );
  assertEquals([...sections].sort(), ["nitro", "sevSnp", "sgx", "simulation", "tdx", "trustzone"]);
});

Deno.test("docs/VERIFYING.md names every root by its digest", () => {
  for (const { name, sha256 } of Object.values(roots)) {
    if (/ark|root/.test(name)) assert(guide.includes(sha256), name);
  }
});

Deno.test("docs/VERIFYING.md lists every check and code of the verifiers", async () => {
  const files = [
    "bundle.ts",
    "verification.ts",
    "x509/chain.ts",
    "sev_snp/verify.ts",
    "sev_snp/appraise.ts",
    "sev_snp/guest.ts",
    "sev_snp/chain.ts",
    "nitro/verify.ts",
    "nitro/appraise.ts",
    "trustzone/appraise.ts",
    "trustzone/ta_appraise.ts",
  ];
  const unlisted: string[] = [];
  for (const file of files) {
    const source = await Deno.readTextFile(new URL(`../${file}`, import.meta.url));
    // The id and code of list.fail(…), list.missing(…), and of list.expect(…) after its condition.
    const calls = [
      ...source.matchAll(/list\.(?:fail|missing)\(\s*"([a-z_0-9]+)",\s*"([a-z_0-9]+)"/g),
      ...source.matchAll(/list\.expect\([^;]*?,\s*"([a-z_0-9]+)",\s*"([a-z_0-9]+)"/g),
      ...source.matchAll(/code: "([a-z_0-9]+)"()/g),
    ];
    for (const [, ...names] of calls) {
      for (const name of names) {
        if (name !== "" && !guide.includes(`\`${name}\``)) unlisted.push(`${file}: ${name}`);
      }
    }
  }
  assertEquals(unlisted, []);
});
