import { assert, assertEquals, assertRejects } from "@std/assert";
import { compileAndRun, compilerUnavailable } from "../../tests/fakes/c_program.ts";
import {
  Errno,
  type FakeDirectory,
  type FakeNode,
  fuseUnavailable,
  mountFuse,
} from "../../tests/fakes/fuse/server.ts";
import { type FakeTd, makeTd } from "../../tests/fakes/tdx/guest.ts";
import { spawnWorker } from "../../tests/fakes/worker_entry.ts";
import { BackendError, type BackendErrorCode } from "../errors.ts";
import type { Bytes, TeeBackend } from "../mod.ts";
import { createProbeHost } from "../probe.ts";
import { createTdxFactory } from "./backend.ts";
import { decodeReportAnswer, REPORT_REQUEST, TDX_CMD_GET_REPORT0 } from "./ioctl_abi.ts";

const why = fuseUnavailable();
const noHeader = await compilerUnavailable(["linux/tdx-guest.h"]);

function random(length: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(length));
}

async function onTd(
  job: (td: FakeTd, open: (more?: object) => Promise<TeeBackend>, path: string) => Promise<void>,
): Promise<void> {
  const td = makeTd({ mrTd: new Uint8Array(48).fill(1), fmspc: "00a0b1c2d3e4" });
  const tree: FakeDirectory = {
    type: "directory",
    entries: new Map<string, FakeNode>([["tdx_guest", td.device], ["report", td.tsm.directory]]),
  };
  await using mount = await mountFuse(tree);
  const factory = createTdxFactory({
    host: createProbeHost(),
    spawnWorker,
    random,
    clock: Date.now,
  });
  const { path } = mount;
  const config = {
    device: `${path}/tdx_guest`,
    tsm: `${path}/report`,
    eventLog: `${path}/none`,
  };
  await job(td, (more = {}) => factory.open({ ...config, ...more }), path);
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `TDX ${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
    ignore: why !== undefined,
    fn,
  });
}

async function refusal(job: () => Promise<unknown>, code: BackendErrorCode): Promise<BackendError> {
  const error = await assertRejects(job, BackendError);
  assertEquals(error.code, code, `${error.code}: ${error.message}`);
  return error;
}

function attest({ attester }: TeeBackend, reportData: Bytes = random(64)) {
  assert(attester);
  return attester.attest(reportData);
}

Deno.test({
  name: "TDX_CMD_GET_REPORT0 is that of linux/tdx-guest.h" +
    (noHeader === undefined ? "" : ` (skipped: ${noHeader})`),
  ignore: noHeader !== undefined,
  fn: async () => {
    const output = await compileAndRun(`
      #include <stddef.h>
      #include <stdio.h>
      #include <linux/types.h>
      #include <sys/ioctl.h>
      #include <linux/tdx-guest.h>
      int main(void) {
        printf("%lu %zu %zu\\n", (unsigned long)TDX_CMD_GET_REPORT0,
          sizeof(struct tdx_report_req), offsetof(struct tdx_report_req, tdreport));
        return 0;
      }`);
    assertEquals(output.trim().split(" ").map(Number), [
      TDX_CMD_GET_REPORT0,
      REPORT_REQUEST.length,
      REPORT_REQUEST.tdReportAt,
    ]);
  },
});

test("says what the device or the quoting service failed with", () =>
  onTd(async (td, open) => {
    for (const [errno, code] of [[5, "io"], [25, "device_lost"], [19, "device_lost"]] as const) {
      td.onReport = () => {
        throw new Errno(errno);
      };
      assertEquals((await refusal(open, code)).nativeStatus?.value, errno);
    }
    td.onReport = () => {};
    await using backend = await open();
    const faults: [number, BackendErrorCode][] = [
      [16, "throttled"],
      [110, "throttled"],
      [6, "device_lost"],
      [19, "device_lost"],
      [22, "io"],
      [5, "io"],
    ];
    for (const [errno, code] of faults) {
      td.tsm.onQuote = () => {
        throw new Errno(errno);
      };
      const error = await refusal(() => attest(backend), code);
      assertEquals(error.nativeStatus?.value, errno);
      assert(error.message.includes("outblob"), error.message);
    }
    td.tsm.onQuote = () => {};
    await attest(backend);
  }));

test("refuses a TDREPORT or a quote that is not the one it asked for", () =>
  onTd(async (td, open) => {
    const changes: ((answer: Uint8Array) => void)[] = [
      (answer) => answer.fill(0),
      (answer) => void (answer[64] = 0x00),
      (answer) => void (answer[64 + 128] = (answer[64 + 128] ?? 0) ^ 1),
    ];
    for (const change of changes) {
      td.onReport = change;
      await refusal(open, "malformed");
    }
    td.onReport = () => {};
    await using backend = await open();
    const quotes: ((quote: Bytes) => Bytes)[] = [
      () => new Uint8Array(0),
      (quote) => quote.slice(0, 600),
      () => random(4096),
      (quote) => {
        quote.fill(7, 48 + 520, 48 + 584);
        return quote;
      },
      (quote) => {
        quote.fill(7, 48 + 136, 48 + 184);
        return quote;
      },
    ];
    for (const change of quotes) {
      td.onQuote = change;
      await refusal(() => attest(backend), "malformed");
    }
  }));

test("refuses configfs-tsm of another provider, and one that is not there", () =>
  onTd(async (td, open, path) => {
    const directory = td.tsm.directory;
    const made = directory.mkdir?.bind(directory);
    directory.mkdir = async (name) => {
      await made?.(name);
      const entry = directory.entries.get(name);
      assert(entry?.type === "directory");
      const text = new TextEncoder().encode("sev_guest\n");
      entry.entries.set("provider", {
        type: "file",
        mode: 0o400,
        open: () => ({ read: (offset, size) => text.slice(offset, offset + size) }),
      });
    };
    await using backend = await open();
    const error = await refusal(() => attest(backend), "unavailable");
    assert(error.message.includes("sev_guest"));
    await using without = await open({ tsm: `${path}/nowhere` });
    assert((await refusal(() => attest(without), "unavailable")).hint?.includes("configfs"));
  }));

test("hands the event log along without its filler", () =>
  onTd(async (_td, open) => {
    const folder = await Deno.makeTempDir({ prefix: "nautilus-ccel-" });
    try {
      const log = new Uint8Array(100_000).fill(0xff);
      log.fill(1, 0, 500);
      await Deno.writeFile(`${folder}/CCEL`, log);
      await using backend = await open({ eventLog: `${folder}/CCEL` });
      const { endorsements } = await attest(backend);
      assertEquals(endorsements.map(({ type, data }) => [type, data.length]), [["ccel", 564]]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }));

Deno.test("decodeReportAnswer() finds MRTD and RTMRs at the documented offsets", () => {
  const reportData = new Uint8Array(64).fill(3);
  const answer = new Uint8Array(1088);
  answer.set(reportData);
  answer[64] = 0x81;
  answer.set(reportData, 64 + 128);
  answer.fill(0x11, 64 + 528, 64 + 576);
  for (let i = 0; i < 4; i++) answer.fill(0x20 + i, 64 + 720 + 48 * i, 64 + 768 + 48 * i);
  const { mrTd, rtmrs } = decodeReportAnswer(answer, reportData);
  assertEquals(mrTd.toHex(), "11".repeat(48));
  assertEquals(
    rtmrs.map((rtmr) => rtmr.toHex()),
    [0x20, 0x21, 0x22, 0x23].map((byte) => byte.toString(16).repeat(48)),
  );
});
