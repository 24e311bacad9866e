import { assertEquals, assertThrows } from "@std/assert";
import { refuseWhereAbsent } from "./absent.ts";
import { BackendError } from "./errors.ts";

Deno.test("refuseWhereAbsent() gives the probe's reason and hint, and lets what is here pass", () => {
  refuseWhereAbsent("SGX", { available: true, signals: [], reason: "there" });
  const probe = { available: false, signals: [], reason: "none", hint: "try" } as const;
  const error = assertThrows(() => refuseWhereAbsent("SGX", probe), BackendError);
  assertEquals(
    [error.code, error.message, error.hint, error.kind],
    ["unavailable", "no SGX here: none", "try", "SGX"],
  );
});
