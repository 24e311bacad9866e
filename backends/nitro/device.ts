/** `/dev/nsm`: attestation documents, PCRs and hardware random, each failure with the module's word. */
import { BackendError } from "../errors.ts";
import type { IoctlDevice } from "../ffi/device.ts";
import { errnoName } from "../ffi/errno.ts";
import type { Bytes } from "../mod.ts";
import {
  decodeAttestationAnswer,
  decodeDescribePcrAnswer,
  decodeRandomAnswer,
  decodeResponseLength,
  encodeAttestationRequest,
  encodeDescribePcrRequest,
  encodeMessage,
  encodeRandomRequest,
  MAX_RESPONSE_LENGTH,
  NSM_IOCTL,
  NSM_MESSAGE,
} from "./nsm_abi.ts";

export interface NsmDevice extends AsyncDisposable {
  /** A signed document with `userData` in it. */
  attestation(userData: Bytes): Promise<Bytes>;
  /** @param index 0 to 31 */
  describePcr(index: number): Promise<{ readonly lock: boolean; readonly data: Bytes }>;
  /** Exactly `length` bytes of the module's random number generator. */
  random(length: number): Promise<Bytes>;
}

/** The module's calls over `device`, which is disposed with it. */
export function createNsmDevice(device: IoctlDevice): NsmDevice {
  async function call(what: string, request: Bytes): Promise<Bytes> {
    for (let attempt = 0;; attempt++) {
      const { errno, buffers: [message, , response] } = await device.ioctl({
        request: NSM_IOCTL,
        buffers: [
          encodeMessage(request.length),
          request.slice(),
          new Uint8Array(MAX_RESPONSE_LENGTH),
        ],
        links: [
          { from: 0, at: NSM_MESSAGE.requestAt, to: 1 },
          { from: 0, at: NSM_MESSAGE.responseAt, to: 2 },
        ],
      });
      if (errno === 0 && message !== undefined && response !== undefined) {
        return response.slice(0, decodeResponseLength(message));
      }
      const name = errnoName(errno);
      if (name === "EINTR" && attempt < 16) continue;
      const lost = name === "ENODEV" || name === "ENXIO" || name === "ENOTTY";
      throw new BackendError(
        lost ? "device_lost" : name === "ETIMEDOUT" || name === "EBUSY" ? "throttled" : "io",
        `the NSM, ${what}: ${name}`,
        {
          kind: "NITRO",
          nativeStatus: { name, value: errno },
          hint: "restart the enclave where this stays",
        },
      );
    }
  }

  return {
    async attestation(userData) {
      return decodeAttestationAnswer(
        await call("Attestation", encodeAttestationRequest(userData)),
      );
    },
    async describePcr(index) {
      return decodeDescribePcrAnswer(
        await call("DescribePCR", encodeDescribePcrRequest(index)),
      );
    },
    async random(length) {
      const out = new Uint8Array(length);
      for (let offset = 0; offset < length;) {
        const piece = decodeRandomAnswer(await call("GetRandom", encodeRandomRequest()));
        out.set(piece.subarray(0, length - offset), offset);
        offset += piece.length;
      }
      return out;
    },
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
  };
}
