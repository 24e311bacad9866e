/**
 * A trust domain's device and quoting service: TDREPORTs as the TDX module gives them, quotes signed
 * under the Intel test hierarchy.
 */
import type { Bytes, Endorsement } from "../../../backends/mod.ts";
import { makePlatform } from "../../pki/intel_platform.ts";
import { EINVAL, ENOTTY, Errno, type FakeFile } from "../fuse/server.ts";
import { type FakeTsm, makeTsm } from "../tsm.ts";

export interface TdSpec {
  /** 48 bytes. */
  readonly mrTd: Bytes;
  /** Differs from one platform to the next. */
  readonly fmspc: string;
}

export interface FakeTd {
  readonly device: FakeFile;
  readonly tsm: FakeTsm;
  /** Asked at every ioctl: throw an Errno, or change the 1088 bytes that go back. */
  onReport: (answer: Uint8Array) => void;
  /** Changes the quotes. */
  onQuote: (quote: Bytes) => Bytes;
  /** Collateral of the platform, known after the first quote. */
  collateral: readonly Endorsement[];
}

const GET_REPORT0 = 0xc4405401;

export function makeTd(spec: TdSpec): FakeTd {
  const td: FakeTd = {
    device: {
      type: "file",
      mode: 0o600,
      open: () => ({
        ioctl: (command, argument) => {
          if (command !== GET_REPORT0) throw new Errno(ENOTTY);
          if (argument.length !== 1088) throw new Errno(EINVAL);
          const report = argument.subarray(64);
          report.fill(0);
          report[0] = 0x81;
          report.set(argument.subarray(0, 64), 128);
          report.set(spec.mrTd, 512 + 16);
          for (let i = 0; i < 4; i++) report.fill(0xa0 + i, 720 + 48 * i, 720 + 48 * (i + 1));
          td.onReport(argument);
          return 0;
        },
      }),
    },
    tsm: makeTsm({
      name: "tdx_guest",
      privilegeLevels: false,
      quote: async (inblob) => {
        const { quote, endorsements } = await makePlatform({
          tee: "TDX",
          quoteVersion: 4,
          bodyType: 2,
          fmspc: spec.fmspc,
          body: { 136: spec.mrTd.toHex(), 520: inblob.toHex() },
        });
        td.collateral = endorsements;
        return { outblob: td.onQuote(quote), auxblob: new Uint8Array(0) };
      },
    }),
    onReport: () => {},
    onQuote: (quote) => quote,
    collateral: [],
  };
  return td;
}
