/**
 * The worker owner's wallet: a key from a file, to sign admission messages with. Reads what the Sui
 * tools write: one `suiprivkey1…` line, or the keystore (`sui.keystore`, a JSON array of base64).
 * The key never appears in an error.
 */
import type { Keypair } from "@mysten/sui/cryptography";

export interface Wallet {
  readonly scheme: "ed25519" | "secp256k1" | "secp256r1";
  /** 0x + 64 hex. */
  readonly address: string;
  /** Serialized signature over a Sui personal message, base64. */
  signPersonalMessage(message: Uint8Array): Promise<string>;
}

export type WalletErrorCode =
  | "malformed" // neither a private key line nor a keystore
  | "unsupported" // a scheme that cannot sign from a file
  | "ambiguous" // several keys, and no address says which
  | "not_found"; // no key of that address

/** Why there is no wallet. Holds no key material. */
export class WalletError extends Error {
  override readonly name = "WalletError";
  readonly code: WalletErrorCode;
  constructor(code: WalletErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

interface SecretKey {
  readonly flag: number;
  /** 32 bytes. */
  readonly secret: Uint8Array<ArrayBuffer>;
}

const SCHEMES = ["ed25519", "secp256k1", "secp256r1"] as const;

/**
 * @param text content of the key file
 * @param address which key of a keystore, 0x + 64 hex; may be left out where there is one only
 * @throws {WalletError}
 */
export async function loadWallet(text: string, address?: string): Promise<Wallet> {
  const keys = await readKeys(text.trim());
  const wallets = await Promise.all(keys.map(open));
  if (address !== undefined) {
    const found = wallets.find((wallet) => wallet.address === address);
    if (found === undefined) {
      throw new WalletError("not_found", `none of ${wallets.length} keys is of ${address}`);
    }
    return found;
  }
  const [only, ...more] = wallets;
  if (only === undefined) throw new WalletError("malformed", "the keystore holds no key");
  if (more.length > 0) {
    throw new WalletError(
      "ambiguous",
      `the keystore holds ${wallets.length} keys, name one of: ${
        wallets.map((wallet) => wallet.address).join(", ")
      }`,
    );
  }
  return only;
}

async function readKeys(text: string): Promise<SecretKey[]> {
  if (text.startsWith("suiprivkey1")) return [await readPrivateKey(text)];
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new WalletError("malformed", "expected a suiprivkey1… line or a Sui keystore in JSON");
  }
  if (!Array.isArray(json)) {
    throw new WalletError("malformed", "a Sui keystore is a JSON array of base64 strings");
  }
  return json.map((entry: unknown, index) => {
    const bytes = typeof entry === "string" ? fromBase64(entry) : undefined;
    if (bytes?.length !== 33) {
      throw new WalletError("malformed", `keystore[${index}]: expected base64 of 33 bytes`);
    }
    return { flag: bytes[0] ?? 255, secret: bytes.slice(1) };
  });
}

async function readPrivateKey(text: string): Promise<SecretKey> {
  const { decodeSuiPrivateKey } = await import("@mysten/sui/cryptography");
  try {
    const { scheme, secretKey } = decodeSuiPrivateKey(text);
    const flag = ["ED25519", "Secp256k1", "Secp256r1"].indexOf(scheme);
    return { flag, secret: Uint8Array.from(secretKey) };
  } catch {
    throw new WalletError("malformed", "the suiprivkey1… line does not check out");
  }
}

async function open({ flag, secret }: SecretKey): Promise<Wallet> {
  const scheme = SCHEMES[flag];
  if (scheme === undefined) {
    throw new WalletError("unsupported", `a key of scheme ${flag} cannot sign from a file`);
  }
  let keypair: Keypair;
  try {
    keypair = await openKeypair(scheme, secret);
  } catch {
    throw new WalletError("malformed", `the ${scheme} key is no valid secret key`);
  }
  return {
    scheme,
    address: keypair.toSuiAddress(),
    signPersonalMessage: async (message) => (await keypair.signPersonalMessage(message)).signature,
  };
}

async function openKeypair(
  scheme: Wallet["scheme"],
  secret: Uint8Array<ArrayBuffer>,
): Promise<Keypair> {
  switch (scheme) {
    case "ed25519": {
      const { Ed25519Keypair } = await import("@mysten/sui/keypairs/ed25519");
      return Ed25519Keypair.fromSecretKey(secret);
    }
    case "secp256k1": {
      const { Secp256k1Keypair } = await import("@mysten/sui/keypairs/secp256k1");
      return Secp256k1Keypair.fromSecretKey(secret);
    }
    case "secp256r1": {
      const { Secp256r1Keypair } = await import("@mysten/sui/keypairs/secp256r1");
      return Secp256r1Keypair.fromSecretKey(secret);
    }
  }
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return undefined;
  }
}
