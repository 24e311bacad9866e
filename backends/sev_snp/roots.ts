/** AMD's product lines: which CPUs they are, what their certificates are called, which roots they have. */
import {
  AMD_ARK_GENOA,
  AMD_ARK_MILAN,
  AMD_ARK_TURIN,
  AMD_ASK_GENOA,
  AMD_ASK_MILAN,
  AMD_ASK_TURIN,
  AMD_ASVK_GENOA,
  AMD_ASVK_MILAN,
  AMD_ASVK_TURIN,
  type PinnedCertificate,
} from "../roots/mod.ts";
import type { TcbLayout } from "./abi.ts";

/** A line of products under one root key. Bergamo and Siena stand under Genoa's. */
export type ProductLine = "Milan" | "Genoa" | "Turin";

export interface Product {
  /** As policies name it; `Bergamo/Siena` share CPUID models. */
  readonly name: "Milan" | "Genoa" | "Bergamo/Siena" | "Turin";
  readonly line: ProductLine;
  readonly layout: TcbLayout;
}

/** Root and intermediates of one line, DER. */
export interface LineRoots {
  readonly ark: Uint8Array;
  readonly ask: Uint8Array;
  readonly asvk: Uint8Array;
}
export type SevSnpRoots = Readonly<Record<ProductLine, LineRoots>>;

function der(pinned: PinnedCertificate): Uint8Array {
  return Uint8Array.fromBase64(pinned.der);
}

/** AMD's own, pinned. */
export function amdRoots(): SevSnpRoots {
  return {
    Milan: { ark: der(AMD_ARK_MILAN), ask: der(AMD_ASK_MILAN), asvk: der(AMD_ASVK_MILAN) },
    Genoa: { ark: der(AMD_ARK_GENOA), ask: der(AMD_ASK_GENOA), asvk: der(AMD_ASVK_GENOA) },
    Turin: { ark: der(AMD_ARK_TURIN), ask: der(AMD_ASK_TURIN), asvk: der(AMD_ASVK_TURIN) },
  };
}

/** From CPUID (report version 3 and later). Undefined: a CPU this build does not know. */
export function productOfCpuid(family: number, model: number): Product | undefined {
  if (family === 0x19 && model <= 0x0f) return { name: "Milan", line: "Milan", layout: "family19" };
  if (family === 0x19 && model >= 0x10 && model <= 0x1f) {
    return { name: "Genoa", line: "Genoa", layout: "family19" };
  }
  if (family === 0x19 && model >= 0xa0 && model <= 0xaf) {
    return { name: "Bergamo/Siena", line: "Genoa", layout: "family19" };
  }
  if (family === 0x1a && model <= 0x1f) return { name: "Turin", line: "Turin", layout: "turin" };
  return undefined;
}

/** From the productName of a VCEK or VLEK, such as `Milan-B0` (a stepping may follow the dash). */
export function productOfName(name: string): Product | undefined {
  const line = /^([A-Za-z]+)(?:-[A-Za-z0-9]{1,8})?$/.exec(name)?.[1];
  if (line === "Milan" || line === "Genoa") return { name: line, line, layout: "family19" };
  if (line === "Bergamo" || line === "Siena") {
    return { name: "Bergamo/Siena", line: "Genoa", layout: "family19" };
  }
  return line === "Turin" ? { name: line, line, layout: "turin" } : undefined;
}

/** The names under which a policy may speak of a product. */
export function policyNames(
  product: Product,
): readonly ("Milan" | "Genoa" | "Bergamo" | "Siena" | "Turin")[] {
  return product.name === "Bergamo/Siena" ? ["Bergamo", "Siena"] : [product.name];
}
