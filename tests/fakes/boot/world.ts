/** What a test tells the program of main.ts beside this file: where the devices are, whom to believe. */
import * as v from "valibot";

const SCHEMA = v.strictObject({
  /** Taken for `/` by what probes. */
  root: v.string(),
  /** Undefined: this machine's. */
  arch: v.optional(v.picklist(["x86_64", "aarch64"])),
  /** By tee_type: what the backend is opened with. */
  configs: v.record(v.string(), v.unknown()),
  /** DER in base64; those that are not given are the vendors' own. */
  roots: v.strictObject({
    amd: v.optional(v.strictObject({ ark: v.string(), ask: v.string() })),
    intel: v.optional(v.string()),
    /** The sample plugin's evidence is believed. */
    sample: v.optional(v.boolean()),
  }),
});

export type World = v.InferOutput<typeof SCHEMA>;

export async function readWorld(path: string): Promise<World> {
  return v.parse(SCHEMA, JSON.parse(await Deno.readTextFile(path)));
}
