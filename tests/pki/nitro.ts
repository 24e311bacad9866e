/** AWS's hierarchy made anew for tests, and documents signed under it. */
import { encode } from "cborg";
import type { Bytes } from "../../backends/mod.ts";
import { makeCertificate, makeKey, sign, type TestKey } from "./pki.ts";

export const NITRO_NOW: number = Date.UTC(2026, 5, 1, 12);
const HOUR = 3_600_000;

export interface NitroAuthorities {
  readonly root: Bytes;
  readonly rootKey: TestKey;
  /** Root first, then two intermediates. */
  readonly bundle: readonly Bytes[];
  readonly issuerKey: TestKey;
  readonly leafKey: TestKey;
  readonly leaf: Bytes;
}

export interface NitroSpec {
  /** Changes the certificate below the root. */
  readonly zonal?: Partial<Parameters<typeof makeCertificate>[0]>;
  readonly leaf?: Partial<Parameters<typeof makeCertificate>[0]>;
}

export async function makeNitroAuthorities(spec: NitroSpec = {}): Promise<NitroAuthorities> {
  const [rootKey, zonalKey, instanceKey, leafKey] = await Promise.all(
    Array.from({ length: 4 }, () => makeKey("P-384")),
  );
  if (
    rootKey === undefined || zonalKey === undefined || instanceKey === undefined ||
    leafKey === undefined
  ) throw new Error("no keys");
  const long = { notBefore: NITRO_NOW - 1000 * HOUR, notAfter: NITRO_NOW + 1000 * HOUR };
  const short = { notBefore: NITRO_NOW - HOUR, notAfter: NITRO_NOW + 2 * HOUR };
  const root = await makeCertificate({
    subject: "root",
    issuer: "root",
    key: rootKey,
    issuerKey: rootKey,
    ca: {},
    ...long,
  });
  const zonal = await makeCertificate({
    subject: "zonal",
    issuer: "root",
    key: zonalKey,
    issuerKey: rootKey,
    ca: { pathLength: 1 },
    ...long,
    ...spec.zonal,
  });
  const instance = await makeCertificate({
    subject: "instance",
    issuer: "zonal",
    key: instanceKey,
    issuerKey: zonalKey,
    ca: { pathLength: 0 },
    ...short,
  });
  const leaf = await makeCertificate({
    subject: "enclave",
    issuer: "instance",
    key: leafKey,
    issuerKey: instanceKey,
    ...short,
    ...spec.leaf,
  });
  return { root, rootKey, bundle: [root, zonal, instance], issuerKey: instanceKey, leafKey, leaf };
}

/** The fields of a document in order; `change` may replace, add and remove. */
export async function makeDocument(
  authorities: NitroAuthorities,
  change: (fields: Map<string, unknown>) => void = () => {},
): Promise<Bytes> {
  const pcrs = new Map(
    Array.from({ length: 16 }, (_, i) => [i, new Uint8Array(48).fill(i < 3 ? i + 1 : 0)]),
  );
  const fields = new Map<string, unknown>([
    ["module_id", "i-0123456789abcdef0-enc0123456789abcdef"],
    ["digest", "SHA384"],
    ["timestamp", NITRO_NOW - 1000],
    ["pcrs", pcrs],
    ["certificate", authorities.leaf],
    ["cabundle", [...authorities.bundle]],
    ["public_key", null],
    ["user_data", new Uint8Array(64).fill(7)],
    ["nonce", new Uint8Array(32).fill(9)],
  ]);
  change(fields);
  return await signDocument(encode(fields), authorities.leafKey);
}

export async function signDocument(payload: Uint8Array, key: TestKey): Promise<Bytes> {
  const header = Uint8Array.fromHex("a1013822");
  const signature = await sign(
    key,
    new Uint8Array(encode(["Signature1", header, new Uint8Array(0), payload])),
  );
  return new Uint8Array(encode([header, new Map(), payload, signature]));
}
