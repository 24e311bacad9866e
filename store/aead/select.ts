/** Which provider to use, and why. */
import type { AeadProvider } from "../aead.ts";
import { libcryptoAead } from "./libcrypto.ts";
import { nodeCryptoAead } from "./node_crypto.ts";
import { webCryptoAead } from "./webcrypto.ts";

export type AeadChoice = "auto" | "libcrypto" | "node:crypto" | "webcrypto";

export interface AeadSelection {
  readonly provider: AeadProvider;
  /** For people: which library, or why a faster one is not in use. */
  readonly detail: string;
}

/**
 * `auto` takes libcrypto where it loads and passes its self-test, else node:crypto.
 * @throws {Error} where a provider asked for by name is not there: never another one in silence.
 */
export function selectAead(choice: AeadChoice = "auto"): AeadSelection {
  switch (choice) {
    case "webcrypto":
      return { provider: webCryptoAead(), detail: "WebCrypto, as asked" };
    case "node:crypto":
      return { provider: nodeCryptoAead(), detail: "node:crypto, as asked" };
    case "auto":
    case "libcrypto": {
      const fast = libcryptoAead();
      if (fast.available) return { provider: fast.provider, detail: fast.detail };
      if (choice === "libcrypto") {
        throw new Error(`the AEAD provider libcrypto is not available: ${fast.reason}`);
      }
      return {
        provider: nodeCryptoAead(),
        detail: `node:crypto, because libcrypto is not available: ${fast.reason}`,
      };
    }
  }
}
