/** A sealer for tests of what uses one: real encryption under a key that stands for one device. */
import {
  BackendError,
  type Bytes,
  type SealedBlob,
  type Sealer,
  type SealPolicy,
} from "../../backends/mod.ts";

export interface TestTee {
  /** Two with the same number are the same device. */
  readonly device: number;
  readonly measurement: number;
}

/** Layout: device, measurement, policy (0 measurement, 1 signer), 12-byte nonce, ciphertext and tag. */
export function createTestSealer(tee: TestTee = { device: 1, measurement: 1 }): Sealer {
  const key = crypto.subtle.importKey(
    "raw",
    new Uint8Array(32).fill(tee.device),
    "AES-GCM",
    false,
    ["encrypt", "decrypt"],
  );
  const algorithm = (blob: Bytes, aad: Bytes) => {
    const bound = new Uint8Array(3 + aad.length);
    bound.set(blob.subarray(0, 3));
    bound.set(aad, 3);
    return { name: "AES-GCM", iv: blob.slice(3, 15), additionalData: bound };
  };
  return {
    policies: ["measurement", "signer"],
    async seal(plaintext: Bytes, policy: SealPolicy, aad: Bytes): Promise<SealedBlob> {
      const head = new Uint8Array(15);
      head.set([tee.device, tee.measurement, policy === "signer" ? 1 : 0]);
      crypto.getRandomValues(head.subarray(3));
      const body = await crypto.subtle.encrypt(algorithm(head, aad), await key, plaintext);
      const blob = new Uint8Array(15 + body.byteLength);
      blob.set(head);
      blob.set(new Uint8Array(body), 15);
      return blob;
    },
    async unseal(blob: SealedBlob, aad: Bytes): Promise<Bytes> {
      if (blob.length < 31) throw new BackendError("malformed", "the sealed blob is too short");
      if (blob[0] !== tee.device) {
        throw new BackendError(
          "foreign_device",
          `sealed on device ${blob[0]}, this is device ${tee.device}`,
        );
      }
      if (blob[2] === 0 && blob[1] !== tee.measurement) {
        throw new BackendError(
          "measurement_mismatch",
          `sealed for measurement ${blob[1]}, this is measurement ${tee.measurement}`,
        );
      }
      try {
        return new Uint8Array(
          await crypto.subtle.decrypt(algorithm(blob, aad), await key, blob.slice(15)),
        );
      } catch {
        throw new BackendError("tampered", "the sealed blob does not authenticate");
      }
    },
  };
}
