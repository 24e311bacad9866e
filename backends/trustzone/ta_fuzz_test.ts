import { assertEquals } from "@std/assert";
import {
  buildTaFuzzer,
  makeTeeDevice,
  teecUnavailable,
} from "../../tests/fakes/trustzone/device.ts";

const why = await teecUnavailable();
const calls = Deno.env.get("NAUTILUS_NIGHTLY") === undefined ? 4_000 : 1_000_000;

/** The sanitizers are libraries of the compiler's, which may not be installed. */
async function fuzzer(): Promise<string | undefined> {
  try {
    return await buildTaFuzzer();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (/lib(asan|ubsan)/.test(text)) return undefined;
    throw error;
  }
}

const program = why === undefined ? await fuzzer() : undefined;
const reason = why ?? (program === undefined ? "no sanitizers" : undefined);

Deno.test({
  name: `the TA survives ${calls} hostile calls under AddressSanitizer` +
    (reason === undefined ? "" : ` (skipped: ${reason})`),
  ignore: reason !== undefined,
  fn: async () => {
    await using device = await makeTeeDevice();
    const { code, stderr } = await new Deno.Command(program ?? "", {
      args: [device.path, String(calls), "1"],
      // What OpenSSL keeps until the end is no leak of the TA.
      env: { ASAN_OPTIONS: "detect_leaks=0" },
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr).slice(0, 4000));
  },
});
