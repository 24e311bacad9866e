import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { serveSubstitute, substituteUnavailable } from "../../tests/fakes/ioctl/server.ts";
import { makeTd } from "../../tests/fakes/tdx/guest.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { BackendError } from "../errors.ts";
import { openIoctlDevice } from "../ffi/device.ts";
import type { Bytes } from "../mod.ts";
import {
  decodeReportAnswer,
  encodeReportRequest,
  REPORT_REQUEST,
  TDX_CMD_GET_REPORT0,
} from "./ioctl_abi.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 5_000;
const reportData: Bytes = new Uint8Array(64).fill(0x5e);

function goodAnswer(): Bytes {
  const answer = encodeReportRequest(reportData);
  answer[REPORT_REQUEST.tdReportAt] = 0x81;
  answer.set(reportData, REPORT_REQUEST.tdReportAt + 128);
  answer.fill(0x4d, REPORT_REQUEST.tdReportAt + 528, REPORT_REQUEST.tdReportAt + 576);
  return answer;
}

Deno.test("decodeReportAnswer() gives MRTD and RTMRs of exactly one TDREPORT", () => {
  const { mrTd, rtmrs } = decodeReportAnswer(goodAnswer(), reportData);
  assertEquals([mrTd.toHex(), rtmrs.length], ["4d".repeat(48), 4]);
});

Deno.test("decodeReportAnswer() ends in a report or a typed refusal for any bytes", () => {
  const seed = goodAnswer();
  const input = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.record({ at: fc.nat(seed.length - 1), to: fc.nat(255), cut: fc.nat(seed.length * 8) })
      .map(({ at, to, cut }) => {
        const bytes = seed.slice(0, Math.min(cut, seed.length));
        if (at < bytes.length) bytes[at] = to;
        return bytes;
      }),
  );
  fc.assert(
    fc.property(input, (bytes) => {
      try {
        const { mrTd, rtmrs } = decodeReportAnswer(new Uint8Array(bytes), reportData);
        assert(mrTd.length === 48 && rtmrs.every(({ length }) => length === 48));
      } catch (error) {
        assert(error instanceof BackendError && error.code === "malformed", String(error));
      }
    }),
    { numRuns: runs },
  );
});

const why = await substituteUnavailable();

Deno.test({
  name: "TDX_CMD_GET_REPORT0 through a substitute for libc" +
    (why === undefined ? "" : ` (skipped: ${why})`),
  ignore: why !== undefined,
  fn: async () => {
    const td = makeTd({ mrTd: new Uint8Array(48).fill(7), fmspc: "00a0b1c2d3e1" });
    await using devices = await serveSubstitute({ tdx_guest: td.device });
    await using device = await openIoctlDevice({
      kind: "TDX",
      path: `${devices.path}/tdx_guest`,
      libc: devices.libc,
      spawnWorker,
    });
    const { errno, buffers: [answer] } = await device.ioctl({
      request: TDX_CMD_GET_REPORT0,
      buffers: [encodeReportRequest(reportData)],
      links: [],
    });
    assertEquals(errno, 0);
    const { mrTd } = decodeReportAnswer(answer ?? new Uint8Array(0), reportData);
    assertEquals(mrTd.toHex(), "07".repeat(48));
  },
});
