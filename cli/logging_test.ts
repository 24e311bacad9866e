import { assertEquals, assertStringIncludes } from "@std/assert";
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

Deno.test("startLogging() leaves out what lies below the level", async () => {
  assertEquals(await logged(false, "error", (log) => log.warn("quiet")), "");
  assertStringIncludes(await logged(false, "warn", (log) => log.warn("loud")), "loud");
});
