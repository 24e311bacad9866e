/**
 * Real evidence beside the project (`../shared/vectors`), where it is present. Tests over it skip
 * visibly where it is not; the project's own test PKI (tests/pki) always runs.
 */
import * as v from "valibot";

const Manifest = v.object({
  tee: v.string(),
  name: v.string(),
  expected: v.optional(v.record(v.string(), v.unknown()), {}),
  verdict: v.object({
    crypto: v.string(),
    default_policy: v.optional(v.string()),
    reasons: v.optional(v.array(v.string()), []),
  }),
  valid_at: v.nullish(v.string()),
  chain_validity: v.nullish(v.array(v.string())),
});

/** One folder of evidence with what is known of it. */
export interface VectorCase {
  readonly name: string;
  readonly manifest: v.InferOutput<typeof Manifest>;
  /** Milliseconds since the epoch: the clock to verify with. */
  readonly validAt: number;
  /** File names in the folder. */
  readonly files: readonly string[];
  read(file: string): Uint8Array<ArrayBuffer>;
}

const ROOT = new URL("../../../shared/vectors/", import.meta.url);

/** The cases of one family, by name; undefined with the reason printed where the folder is absent. */
export function vectorCases(family: string): readonly VectorCase[] | undefined {
  const folder = new URL(`${family}/`, ROOT);
  let names: string[];
  try {
    names = [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory).map(({ name }) =>
      name
    ).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return names.map((name) => {
    const at = new URL(`${name}/`, folder);
    const manifest = v.parse(
      Manifest,
      JSON.parse(Deno.readTextFileSync(new URL("manifest.json", at))),
    );
    return {
      name,
      manifest,
      validAt: manifest.valid_at === null || manifest.valid_at === undefined
        ? NaN
        : Date.parse(manifest.valid_at),
      files: [...Deno.readDirSync(at)].map((entry) => entry.name),
      read: (file: string) => Deno.readFileSync(new URL(file, at)),
    };
  });
}

/** Registers one test a case, or one visibly skipped test that says why. */
export function testVectors(
  family: string,
  title: string,
  run: (vector: VectorCase, t: Deno.TestContext) => Promise<void> | void,
  filter: (vector: VectorCase) => boolean = () => true,
): void {
  const cases = vectorCases(family);
  if (cases === undefined) {
    Deno.test({
      name: `${title}: skipped, ../shared/vectors/${family} is not here`,
      ignore: true,
      fn: () => {},
    });
    return;
  }
  for (const vector of cases.filter(filter)) {
    Deno.test(`${title}: ${vector.name}`, async (t) => await run(vector, t));
  }
}
