/** Compiles the sample plugin against the header that plugins of others are made with. */
import { cachedBuild } from "../c_program.ts";

export interface BuiltPlugin {
  readonly path: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** @param defines preprocessor names that make it another one */
export async function buildSamplePlugin(defines: readonly string[] = []): Promise<BuiltPlugin> {
  const path = await cachedBuild("sample-plugin.so", [
    new URL("./sample.c", import.meta.url),
    new URL("../../../backends/native/nautilus_tee_plugin.h", import.meta.url),
  ], ["-shared", "-fPIC", "-I.", ...defines.map((name) => `-D${name}`)]);
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
  return { path, sha256: new Uint8Array(digest).toHex() };
}
