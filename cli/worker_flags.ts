/** What the worker's command line names: the master, and the owner's wallet. */
import { loadWallet, type Wallet, WalletError } from "../sui/wallet.ts";
import { isLoopback, parseOrigin } from "./client/origin.ts";
import { UsageError } from "./command.ts";
import { readBoundedText } from "./files/bounded_read.ts";
import { fileReason } from "./files/reason.ts";

const MAX_KEYSTORE_BYTES = 1 << 20;

/** @throws {UsageError} for anything but https://HOST:PORT, or http:// on this machine */
export function masterUrl(text: string): URL {
  const url = parseOrigin(text);
  if (url === undefined) {
    // What stands before an @ may be a password.
    const shown = text.includes("@") ? "" : ` "${text}"`;
    throw new UsageError(`--master${shown}: https://HOST:PORT and no more is wanted`);
  }
  if (url.protocol === "http:" && !isLoopback(url)) {
    throw new UsageError("--master: a session is never sent unencrypted: use https://");
  }
  return url;
}

/**
 * @param key a file, or `sui-keystore`: the one in HOME
 * @param address which key of a keystore
 * @throws {UsageError} for a file that others may read, or that holds no such key
 */
export async function openWallet(
  env: Readonly<Record<string, string>>,
  key: string,
  address: string | undefined,
): Promise<Wallet> {
  const path = key === "sui-keystore" ? `${env["HOME"] ?? ""}/.sui/sui_config/sui.keystore` : key;
  let text: string;
  let mode: number | null;
  try {
    text = await readBoundedText(path, MAX_KEYSTORE_BYTES);
    ({ mode } = await Deno.stat(path));
  } catch (cause) {
    throw new UsageError(`--key ${path}: ${fileReason(cause)}`, { cause });
  }
  if (mode !== null && (mode & othersBits(path, env["CREDENTIALS_DIRECTORY"])) !== 0) {
    throw new UsageError(`--key ${path}: others may read it; chmod 600 ${path}`);
  }
  try {
    return await loadWallet(text, address);
  } catch (error) {
    if (error instanceof WalletError) throw new UsageError(`--key ${path}: ${error.message}`);
    throw error;
  }
}

/**
 * systemd gives a credential to the service's user by an access control list, whose mask is shown
 * where the group's bits stand (systemd.exec(5), credentials): read there says nothing of a group.
 */
function othersBits(path: string, credentials: string | undefined): number {
  const isCredential = credentials !== undefined && credentials !== "" &&
    path.startsWith(`${credentials}/`) && !path.includes("/../");
  return isCredential ? 0o037 : 0o077;
}
