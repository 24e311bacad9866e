/** The Nitro Security Module as a FUSE file: CBOR in, CBOR out, documents under a test root. */
import { decode, encode } from "cborg";
import type { Bytes } from "../../../backends/mod.ts";
import { makeDocument, type NitroAuthorities } from "../../pki/nitro.ts";
import { EINVAL, ENOTTY, Errno, type FakeFile } from "../fuse/server.ts";

export interface FakeNsm {
  readonly file: FakeFile;
  /** Asked before every answer: throw an Errno, or give other bytes than `answer`. */
  onAnswer: (answer: Bytes) => Bytes;
}

const NSM_IOCTL = 0xc0200a00;

/** @param pcr0 48 bytes */
export function makeNsm(authorities: NitroAuthorities, pcr0: Bytes): FakeNsm {
  async function answer(request: unknown): Promise<unknown> {
    if (request === "GetRandom") {
      return { GetRandom: { random: crypto.getRandomValues(new Uint8Array(256)) } };
    }
    if (!(request instanceof Map)) return { Error: "InvalidOperation" };
    const pcr: unknown = request.get("DescribePCR");
    if (pcr instanceof Map) {
      const index: unknown = pcr.get("index");
      if (typeof index !== "number" || index > 31) return { Error: "InvalidIndex" };
      const data = index === 0 ? pcr0 : new Uint8Array(48).fill(index);
      return { DescribePCR: { lock: index < 16, data } };
    }
    const attestation: unknown = request.get("Attestation");
    if (!(attestation instanceof Map)) return { Error: "InvalidOperation" };
    const userData: unknown = attestation.get("user_data");
    if (userData instanceof Uint8Array && userData.length > 512) return { Error: "InputTooLarge" };
    const document = await makeDocument(authorities, (fields) => {
      fields.set("user_data", userData);
      const pcrs: unknown = fields.get("pcrs");
      if (pcrs instanceof Map) pcrs.set(0, pcr0);
    });
    return { Attestation: { document } };
  }

  const nsm: FakeNsm = {
    file: {
      type: "file",
      mode: 0o600,
      open: () => ({
        ioctl: async (command, argument, memory) => {
          if (command !== NSM_IOCTL) throw new Errno(ENOTTY);
          const view = new DataView(argument.buffer, argument.byteOffset, argument.byteLength);
          const [requestAt, requestLength, responseAt, capacity] = [0, 8, 16, 24]
            .map((offset) => view.getBigUint64(offset, true));
          if (
            requestAt === undefined || requestLength === undefined || responseAt === undefined ||
            capacity === undefined || requestLength > 4096n
          ) throw new Errno(EINVAL);
          const request: unknown = decode(
            await memory.read(requestAt, Number(requestLength)),
            { useMaps: true },
          );
          const response = nsm.onAnswer(new Uint8Array(encode(await answer(request))));
          if (BigInt(response.length) > capacity) throw new Errno(EINVAL);
          await memory.write(responseAt, response);
          view.setBigUint64(24, BigInt(response.length), true);
          return 0;
        },
      }),
    },
    onAnswer: (bytes) => bytes,
  };
  return nsm;
}
