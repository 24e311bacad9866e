/** The Intel vectors beside the project (`../shared/vectors/{sgx,tdx}`), as verifiers take them. */
import type { Bytes, Endorsement } from "../../backends/mod.ts";
import { vectorCases } from "./mod.ts";

export interface IntelVector {
  /** `sgx/…` or `tdx/…`. */
  readonly name: string;
  readonly tee: "SGX" | "TDX";
  readonly expected: Readonly<Record<string, unknown>>;
  readonly verdict: {
    readonly crypto: string;
    readonly defaultPolicy: string;
    readonly reasons: readonly string[];
    readonly tcbStatus: string | undefined;
  };
  /** undefined where the folder holds collateral only. */
  readonly quote: Bytes | undefined;
  /** Everything but quote and manifest, by file name. */
  readonly files: ReadonlyMap<string, Bytes>;
  readonly endorsements: readonly Endorsement[];
  /** Milliseconds since the epoch; NaN where the manifest names no clock. */
  readonly now: number;
}

/** undefined, when the vectors are not there. */
export function intelVectors(): readonly IntelVector[] | undefined {
  const vectors: IntelVector[] = [];
  for (const tee of ["SGX", "TDX"] as const) {
    const cases = vectorCases(tee.toLowerCase());
    if (cases === undefined) return undefined;
    for (const { name, manifest, validAt, files, read } of cases) {
      const rest = files.filter((file) => file !== "manifest.json" && !file.startsWith("quote."));
      const quote = files.find((file) => file.startsWith("quote."));
      const bytes = new Map(rest.sort().map((file) => [file, read(file)]));
      const tcbStatus = "tcb_status" in manifest.verdict ? manifest.verdict.tcb_status : undefined;
      vectors.push({
        name: `${tee.toLowerCase()}/${name}`,
        tee,
        expected: manifest.expected,
        verdict: {
          crypto: manifest.verdict.crypto,
          defaultPolicy: manifest.verdict.default_policy ?? "",
          reasons: manifest.verdict.reasons,
          tcbStatus: typeof tcbStatus === "string" ? tcbStatus : undefined,
        },
        quote: quote === undefined ? undefined : read(quote),
        files: bytes,
        endorsements: [...bytes].map(([type, data]) => ({ type, data })),
        now: validAt,
      });
    }
  }
  return vectors;
}

/** The vectors; where they are not, none, and a test that says it is skipped and why. */
export function intelVectorsOrSkip(suite: string): readonly IntelVector[] {
  const vectors = intelVectors();
  if (vectors === undefined) {
    const name = `${suite}: skipped, ../shared/vectors is not here`;
    Deno.test({ name, ignore: true, fn: () => {} });
  }
  return vectors ?? [];
}
