/** The bytes that an admin's key signs (docs/API.md, "Admin"). Shared by the master and the command. */
import type { Bytes } from "../../backends/mod.ts";

/** What a signature is for; a signature for one says nothing for the other. */
export type AdminPurpose = "login" | "key";

/** Length of a challenge: version, id, end, MAC. */
export const CHALLENGE_LENGTH = 1 + 16 + 8 + 32;

/**
 * `"nautilus-tee/admin-<purpose>/v1" 0x00 ‖ SHA-256(TLS key) ‖ challenge`.
 *
 * The TLS key is the one that the master answered with, so that a signature which somebody in between
 * was given is worth nothing on the real connection.
 *
 * @param tlsSpki DER SubjectPublicKeyInfo; undefined on plain HTTP, which counts as 32 zero bytes
 * @param challenge {@link CHALLENGE_LENGTH} bytes
 * @throws {RangeError} for another length
 */
export async function adminSignatureInput(
  purpose: AdminPurpose,
  tlsSpki: Bytes | undefined,
  challenge: Bytes,
): Promise<Bytes> {
  if (challenge.length !== CHALLENGE_LENGTH) {
    throw new RangeError(
      `a challenge has ${CHALLENGE_LENGTH} bytes, not ${challenge.length}`,
    );
  }
  const domain = new TextEncoder().encode(`nautilus-tee/admin-${purpose}/v1\0`);
  const binding = tlsSpki === undefined
    ? new Uint8Array(32)
    : new Uint8Array(await crypto.subtle.digest("SHA-256", tlsSpki));
  const out = new Uint8Array(domain.length + binding.length + challenge.length);
  out.set(domain, 0);
  out.set(binding, domain.length);
  out.set(challenge, domain.length + binding.length);
  return out;
}
