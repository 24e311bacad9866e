import { assertEquals, assertStringIncludes } from "@std/assert";
import type { TokenRefusalCode } from "../sui/seal_token_types.ts";
import { startLogging } from "./logging.ts";

async function logged(
  terminal: boolean,
  level: "debug" | "info" | "warn" | "error",
  write: (log: Awaited<ReturnType<typeof startLogging>>["log"]) => void,
): Promise<string> {
  let text = "";
  await using logging = await startLogging({
    level,
    terminal,
    write: (line) => text += line,
    fields: { node_id: "n1", tee_type: "SIMULATION" },
  });
  write(logging.log);
  return text;
}

Deno.test("startLogging() writes JSON lines with the fixed fields when there is no terminal", async () => {
  const text = await logged(false, "info", (log) => {
    log.info("Store opened", { step: "store", ms: 3 });
    log.debug("not shown");
  });
  const lines = text.trimEnd().split("\n");
  assertEquals(lines.length, 1);
  const record: Record<string, unknown> = JSON.parse(lines[0] ?? "");
  assertEquals(record["message"], "Store opened");
  assertEquals([record["node_id"], record["tee_type"], record["step"]], [
    "n1",
    "SIMULATION",
    "store",
  ]);
});

Deno.test("startLogging() redacts secrets by field and by shape, pretty or not", async () => {
  const planted = "seal_0x" + "ab".repeat(32);
  for (const terminal of [true, false]) {
    const text = await logged(terminal, "debug", (log) => {
      log.warn("refused {token} from header Authorization: Bearer abc.def", {
        token: planted,
        nested: { seal_token: planted, session_token: "s3cr3t" },
      });
      log.error(`a careless line with ${planted}`);
    });
    assertEquals(text.includes("ab".repeat(32)), false, text);
    assertEquals(text.includes("s3cr3t"), false, text);
    assertEquals(text.includes("abc.def"), false, text);
    assertStringIncludes(text, "redacted");
  }
});

/** All of them: the compiler misses none. */
const REFUSALS: Record<TokenRefusalCode, true> = {
  malformed: true,
  bearer_not_allowed: true,
  not_found: true,
  wrong_type: true,
  wrong_cluster: true,
  wrong_owner: true,
  wrong_node: true,
  not_registered: true,
  expired: true,
  revoked: true,
  inactive: true,
  insufficient_stake: true,
};

Deno.test("startLogging() shows the codes of refused Seal tokens, and no token", async () => {
  const tokens = [
    "seal_0x" + "0123456789abcdef".repeat(4),
    "seal_0xabcdef",
    "seal_" + "ab".repeat(32),
    "seal_eyJhbGciOi.abc-def",
    "seal_token_0x" + "ab".repeat(32),
    "seal_token_abcdef0123",
    "seal_token_Abcdef",
    "seal_token_abc.def",
    "seal_token-abcdef",
  ];
  for (const terminal of [true, false]) {
    for (const code of Object.keys(REFUSALS)) {
      const whole = `seal_token_${code}`;
      const text = await logged(terminal, "info", (log) => {
        log.warn("cannot join: {reason}", { reason: `${whole}: the token is refused` });
        log.warn(`refused with ${whole}.`);
      });
      // In the message, among the properties, and at the end of a sentence.
      assertEquals(text.split(whole).length - 1, 3, text);
    }
    for (const token of tokens) {
      const text = await logged(terminal, "info", (log) => {
        log.warn("cannot join: {reason}", { reason: `the token is ${token}` });
        log.warn(`refused ${token}.`);
      });
      assertEquals(text.includes(token), false, text);
      assertEquals(text.includes(token.slice("seal_".length)), false, text);
      assertStringIncludes(text, "seal_[redacted]");
    }
  }
});

Deno.test("startLogging() leaves out what lies below the level", async () => {
  assertEquals(await logged(false, "error", (log) => log.warn("quiet")), "");
  assertStringIncludes(await logged(false, "warn", (log) => log.warn("loud")), "loud");
});
