/** TDX over a real ioctl that a FUSE device answers, and configfs-tsm, beside C on the same device. */
import { backendRows } from "../../tests/bench/backend_rows.ts";
import { callsFromC } from "../../tests/bench/binding.ts";
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import { compilerUnavailable } from "../../tests/fakes/c_program.ts";
import { type FakeNode, fuseUnavailable, mountFuse } from "../../tests/fakes/fuse/server.ts";
import { makeTd } from "../../tests/fakes/tdx/guest.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { openIoctlDevice } from "../ffi/device.ts";
import type { Bytes } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { createTdxFactory } from "./backend.ts";
import { decodeReportAnswer, encodeReportRequest, TDX_CMD_GET_REPORT0 } from "./ioctl_abi.ts";

const reportData = new Uint8Array(64);

export const benches: readonly BenchSpec[] = backendRows("TDX", {
  call: "TDREPORT",
  seals: false,
  unavailable: async () => fuseUnavailable() ?? await compilerUnavailable(["sys/ioctl.h"]),
  async open() {
    const closing = new AsyncDisposableStack();
    const td = makeTd({ mrTd: new Uint8Array(48).fill(1), fmspc: "00a0b1c2d3e1" });
    const entries = new Map<string, FakeNode>([
      ["tdx_guest", td.device],
      ["report", td.tsm.directory],
    ]);
    const { path } = closing.use(await mountFuse({ type: "directory", entries }));
    const device = closing.use(
      await openIoctlDevice({ kind: "TDX", path: `${path}/tdx_guest`, spawnWorker }),
    );
    const factory = createTdxFactory({
      host: createProbeHost(),
      spawnWorker,
      random: (length): Bytes => crypto.getRandomValues(new Uint8Array(length)),
      clock: Date.now,
    });
    const config = { device: `${path}/tdx_guest`, tsm: `${path}/report`, eventLog: `${path}/none` };
    return {
      backend: closing.use(await factory.open(config)),
      async call() {
        const { buffers: [answer] } = await device.ioctl({
          request: TDX_CMD_GET_REPORT0,
          buffers: [encodeReportRequest(reportData)],
          links: [],
        });
        return decodeReportAnswer(answer ?? reportData, reportData);
      },
      fromC: await callsFromC("ioctl-loop", "ioctl/loop.c", ["tdx", `${path}/tdx_guest`]),
      calls: 200,
      [Symbol.asyncDispose]: () => closing.disposeAsync(),
    };
  },
});

registerWithDeno(benches, import.meta);
