import { assertEquals } from "@std/assert";
import { networkCode, networkReason, unreachable } from "./unreachable.ts";

Deno.test("networkReason() says in words why nobody answers, also of what caused an error", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), {
    code: "ECONNREFUSED",
  });
  assertEquals(networkReason(refused), "nobody listens there");
  const wrapped = unreachable("https://h:1", refused);
  assertEquals(wrapped.message, "https://h:1 cannot be reached: nobody listens there");
  assertEquals(networkCode(wrapped), "ECONNREFUSED");
  assertEquals(networkReason(wrapped), "nobody listens there");
});

Deno.test("networkReason() leaves alone what it does not know", () => {
  assertEquals(networkReason(new Error("no answer within 3 ms")), "no answer within 3 ms");
  const odd = Object.assign(new Error("odd"), { code: "constructor" });
  assertEquals([networkReason(odd), networkCode(odd)], ["odd", undefined]);
  assertEquals(networkReason("text"), "text");
});
