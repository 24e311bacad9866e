/** The credential for an upstream kube-apiserver: a file of the operator's, sealed by its digest. */
import { type Config, ConfigError } from "../../config.ts";
import { readBounded } from "../files/bounded_read.ts";

const MAX_CREDENTIAL_BYTES = 64 * 1024;

/** What of it is sealed with the configuration; the credential itself rests beside it. */
export interface SealedUpstream {
  readonly k8sApiEndpoint: string | null;
  /** PEM */
  readonly k8sApiCa: string | null;
  /** `sha256:` and 64 hex digits of the credential. */
  readonly k8sApiCredential: string | null;
}

export type UpstreamSettings = Pick<Config, "k8sApiEndpoint" | "k8sApiCa" | "k8sApiCredential">;

/** @throws {ConfigError} where the credential cannot be read, or one setting lacks the other. */
export async function sealedUpstream(config: UpstreamSettings): Promise<SealedUpstream> {
  const { k8sApiEndpoint, k8sApiCa, k8sApiCredential } = config;
  return {
    k8sApiEndpoint: k8sApiEndpoint ?? null,
    k8sApiCa: k8sApiCa ?? null,
    k8sApiCredential: k8sApiCredential === undefined
      ? null
      : await fingerprint(await readCredential(k8sApiCredential)),
  };
}

/** @throws {ConfigError} naming the file, for what cannot be read or is no credential */
export async function readCredential(path: string): Promise<string> {
  let text: string;
  try {
    const bytes = await readBounded(path, MAX_CREDENTIAL_BYTES);
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).trim();
  } catch (cause) {
    throw new ConfigError(`--k8s-api-credential: "${path}" cannot be read`, { cause });
  }
  parseCredential(text);
  return text;
}

/** `sha256:` and 64 hex digits. */
export async function fingerprint(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return `sha256:${new Uint8Array(digest).toHex()}`;
}

/** A bearer token, or a certificate chain and its private key. @throws {ConfigError} never quoting it */
export function parseCredential(
  text: string,
): { token?: undefined; cert: string; key: string } | { token: string } {
  if (!text.includes("-----BEGIN ")) {
    if (!/^[A-Za-z0-9._~+/-]{16,16384}=*$/.test(text)) {
      throw new ConfigError("--k8s-api-credential: a bearer token on one line, or PEM, is wanted");
    }
    return { token: text };
  }
  const blocks = text.match(/-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----/g) ?? [];
  const isKey = (block: string) => /BEGIN [A-Z ]*PRIVATE KEY/.test(block);
  const keys = blocks.filter(isKey);
  const certificates = blocks.filter((block) => block.includes("BEGIN CERTIFICATE"));
  const [key] = keys;
  if (key === undefined || keys.length > 1 || certificates.length === 0) {
    throw new ConfigError(
      "--k8s-api-credential: one private key and its certificate in PEM are wanted",
    );
  }
  return { cert: `${certificates.join("\n")}\n`, key: `${key}\n` };
}
