import { assert, assertEquals } from "@std/assert";
import { notLanded } from "./not_landed.ts";

Deno.test("notLanded() names what was found, or why nothing was", () => {
  const here = notLanded("SGX", {
    available: true,
    signals: [],
    reason: "/dev/sgx_enclave is there",
  });
  assertEquals(here.code, "not_landed");
  assert(here.message.includes("/dev/sgx_enclave"));
  const absent = notLanded("SGX", { available: false, signals: [], reason: "none", hint: "try" });
  assertEquals([absent.code, absent.hint], ["unavailable", "try"]);
});
