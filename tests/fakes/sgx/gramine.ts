/**
 * Gramine's `/dev/attestation` as a FUSE folder: one `user_report_data` for the process, quotes
 * signed under the Intel test hierarchy, seal keys that hang on processor, enclave and signer.
 */
import { createHmac } from "node:crypto";
import type { Bytes, Endorsement } from "../../../backends/mod.ts";
import { makePlatform } from "../../pki/intel_platform.ts";
import { EINVAL, Errno, type FakeDirectory, type FakeFile, type FakeNode } from "../fuse/server.ts";

export interface EnclaveSpec {
  /** 32 bytes each. */
  readonly mrEnclave: Bytes;
  readonly mrSigner: Bytes;
  /** Names the processor; 12 hex digits. */
  readonly fmspc: string;
}

export interface FakeGramine {
  readonly directory: FakeDirectory;
  /** Changes quotes, or throws an Errno. */
  onQuote: (quote: Bytes) => Bytes;
  /** Collateral of the platform, known after the first quote. */
  collateral: readonly Endorsement[];
}

export function makeGramine(spec: EnclaveSpec): FakeGramine {
  let userReportData: Bytes = new Uint8Array(64);
  const readable = (data: () => Promise<Uint8Array>): FakeFile => ({
    type: "file",
    mode: 0o400,
    open: () => {
      let loaded: Promise<Uint8Array> | undefined;
      return {
        read: async (offset, size) =>
          new Uint8Array((await (loaded ??= data())).subarray(offset, offset + size)),
      };
    },
  });
  const sealKey = (identity: Bytes): FakeFile =>
    readable(() =>
      Promise.resolve(
        createHmac("sha256", spec.fmspc).update(identity).digest().subarray(0, 16),
      )
    );
  const gramine: FakeGramine = {
    directory: {
      type: "directory",
      entries: new Map<string, FakeNode>([
        [
          "attestation_type",
          readable(() => Promise.resolve(new TextEncoder().encode("dcap"))),
        ],
        ["user_report_data", {
          type: "file",
          mode: 0o600,
          open: () => ({
            write: (_offset, data) => {
              if (data.length !== 64) throw new Errno(EINVAL);
              userReportData = data;
              return data.length;
            },
          }),
        }],
        [
          "quote",
          readable(async () => {
            const { quote, endorsements } = await makePlatform({
              tee: "SGX",
              quoteVersion: 3,
              bodyType: 1,
              fmspc: spec.fmspc,
              body: {
                64: spec.mrEnclave.toHex(),
                128: spec.mrSigner.toHex(),
                320: userReportData.toHex(),
              },
            });
            gramine.collateral = endorsements;
            return gramine.onQuote(quote);
          }),
        ],
        ["keys", {
          type: "directory",
          entries: new Map<string, FakeNode>([
            ["_sgx_mrenclave", sealKey(spec.mrEnclave)],
            ["_sgx_mrsigner", sealKey(spec.mrSigner)],
          ]),
        }],
      ]),
    },
    onQuote: (quote) => quote,
    collateral: [],
  };
  return gramine;
}
