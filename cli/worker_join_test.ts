/** What a master's refusal becomes. */
import { assertEquals } from "@std/assert";
import { refusalOf } from "./worker_join.ts";

function refused(body: string) {
  return refusalOf({ status: 403, retryAfterSeconds: undefined, body });
}

Deno.test("refusalOf() says code and detail, without what would steer a terminal", () => {
  const plain = refused(JSON.stringify({ code: "node_taken", detail: "it is: ä €" }));
  assertEquals([plain.code, plain.message], ["node_taken", "node_taken: it is: ä €"]);
  const { code, message } = refused(JSON.stringify({
    code: "a\u001b[2Jb",
    detail: "x\u009b31m\r\ny\u202ez\u2028\u0000",
  }));
  assertEquals([code, message], ["a?[2Jb", "a?[2Jb: x?31m??y?z??"]);
});

Deno.test("refusalOf() says the status where the answer is no problem document", () => {
  assertEquals(refused("\u001b[2J").message, "the master answered 403");
  assertEquals(refused("{}").code, "unknown");
});
