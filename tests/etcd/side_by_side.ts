/**
 * Our etcd server and Debian's etcd in one run on the same disk, under the same load:
 * `deno run -A tests/etcd/side_by_side.ts [--short] [--json FILE]`. Wants etcd and h2load.
 * Rounds alternate between the two, so that what else the machine does hits both; the figures are
 * medians over the rounds, and what counts is the ratio.
 */
import { parseArgs } from "@std/cli/parse-args";
import {
  Compare,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  TxnRequest,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../api/etcd/messages.ts";
import { EtcdClient } from "./client.ts";
import { startReferenceEtcd } from "./reference.ts";
import {
  compareTargets,
  type Fan,
  type Figures,
  formatRow,
  HEADING,
  quantile,
  type Row,
} from "./side_by_side_report.ts";

interface Subject {
  readonly name: "ours" | "etcd";
  readonly pid: number;
  readonly directory: string;
  /** Arguments that lead h2load there. */
  readonly h2load: readonly string[];
  readonly url: string;
  connect(): Promise<EtcdClient>;
}

interface Load {
  readonly name: string;
  /** Every client goes round them. */
  readonly paths: readonly string[];
  readonly body: Uint8Array<ArrayBuffer>;
  /** One request in so many makes a revision, and the revisions are counted; 0: none does. */
  readonly writesOneIn: number;
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const KV = "/etcdserverpb.KV/";

function framed(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(5 + message.length);
  new DataView(out.buffer).setUint32(1, message.length);
  out.set(message, 5);
  return out;
}

function put(bytes: number): Uint8Array<ArrayBuffer> {
  const value = new Uint8Array(bytes).fill(0x78);
  return framed(PutRequest.encode(PutRequest.of({ key: utf8("bench/key-000001"), value })));
}

/** The apiserver's update: compare the version (any), put, else get. */
function update(): Uint8Array<ArrayBuffer> {
  const key = utf8("bench/key-000001");
  return framed(TxnRequest.encode({
    compare: [Compare.of({ result: 1, target: 0, key, version: 0 })],
    success: [RequestOp.of({
      requestPut: PutRequest.of({ key, value: new Uint8Array(1024).fill(0x78) }),
    })],
    failure: [RequestOp.of({ requestRange: RangeRequest.of({ key }) })],
  }));
}

const LOADS: readonly Load[] = [
  { name: "put 256 B", paths: [KV + "Put"], body: put(256), writesOneIn: 1 },
  { name: "put 1 KiB", paths: [KV + "Put"], body: put(1024), writesOneIn: 1 },
  {
    name: "range one key",
    paths: [KV + "Range"],
    body: framed(RangeRequest.encode(RangeRequest.of({ key: utf8("bench/key-000001") }))),
    writesOneIn: 0,
  },
  { name: "txn update 1 KiB", paths: [KV + "Txn"], body: update(), writesOneIn: 1 },
  {
    // The same bytes are a put of 1 KiB, and a range from that key to what is its value there.
    name: "mixed, 1 put in 4",
    paths: [KV + "Put", KV + "Range", KV + "Range", KV + "Range"],
    body: put(1024),
    writesOneIn: 4,
  },
];

async function startOurs(directory: string): Promise<Subject & AsyncDisposable> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("server_process.ts", import.meta.url).pathname, directory],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = process.stdout.getReader();
  await reader.read();
  reader.releaseLock();
  const path = `${directory}/etcd.sock`;
  return {
    name: "ours",
    pid: process.pid,
    directory,
    h2load: ["-B", `unix:${path}`],
    url: "http://localhost",
    connect: () => EtcdClient.connect({ path }),
    async [Symbol.asyncDispose]() {
      process.kill("SIGTERM");
      await process.status;
      await process.stdout.cancel();
    },
  };
}

/** User and system time of a process in seconds. */
function cpuSeconds(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

function residentMiB(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}

async function diskMiB(directory: string): Promise<number> {
  const { stdout } = await new Deno.Command("du", { args: ["-sk", directory] }).output();
  return Number(new TextDecoder().decode(stdout).split("\t")[0]) / 1024;
}

async function revision(client: EtcdClient): Promise<number> {
  const answer = await client.call(KV + "Range", RangeRequest, RangeResponse, { key: utf8("?") });
  if (!answer.ok) throw new Error(answer.message);
  return answer.value.header!.revision;
}

const CLIENTS: Readonly<Record<number, readonly [connections: number, streams: number]>> = {
  1: [1, 1],
  16: [4, 4],
  64: [4, 16],
  256: [16, 16],
};

async function measure(
  subject: Subject,
  load: Load,
  inFlight: number,
  requests: number,
): Promise<Figures> {
  const [connections, streams] = CLIENTS[inFlight]!;
  const body = await Deno.makeTempFile();
  const log = await Deno.makeTempFile();
  await Deno.writeFile(body, load.body);
  const client = await subject.connect();
  const before = await revision(client);
  const cpu = cpuSeconds(subject.pid);
  const { stdout } = await new Deno.Command("h2load", {
    args: [
      `-n${requests}`,
      `-c${connections}`,
      `-m${streams}`,
      `-d${body}`,
      `--log-file=${log}`,
      "-Hcontent-type: application/grpc",
      "-Hte: trailers",
      ...subject.h2load,
      ...load.paths.map((path) => subject.url + path),
    ],
  }).output();
  const cpuUsPerOp = (cpuSeconds(subject.pid) - cpu) / requests * 1e6;
  const made = await revision(client) - before;
  await client.close();
  // h2load does not look at gRPC's status: the revisions do.
  const wanted = load.writesOneIn === 0 ? 0 : requests / load.writesOneIn;
  // Each client may end anywhere in its round.
  const slack = load.writesOneIn > 1 ? inFlight : 0;
  if (Math.abs(made - wanted) > slack) {
    throw new Error(`${subject.name}, ${load.name}: ${made} of ${wanted} writes were made`);
  }
  const text = new TextDecoder().decode(stdout);
  const latencies = (await Deno.readTextFile(log)).trim().split("\n")
    .map((line) => Number(line.split("\t")[2]) / 1000)
    .sort((a, b) => a - b);
  await Deno.remove(body);
  await Deno.remove(log);
  return {
    perSecond: Number(/([\d.]+) req\/s/.exec(text)?.[1]),
    meanMs: latencies.reduce((sum, ms) => sum + ms, 0) / latencies.length,
    p50Ms: latencies[Math.floor(latencies.length * 0.5)] ?? NaN,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? NaN,
    cpuUsPerOp,
    residentMiB: residentMiB(subject.pid),
    diskMiB: await diskMiB(subject.directory),
  };
}

/** Milliseconds from a put until every one of the watches has its event. */
async function fanOut(subject: Subject, watches: number, puts: number): Promise<number[]> {
  const connections = Math.min(watches, 4);
  const clients = await Promise.all(Array.from({ length: connections }, () => subject.connect()));
  const key = utf8("fan-out");
  const streams = clients.map((client) =>
    client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse)
  );
  const share = (i: number) =>
    Math.floor(watches / connections) + (i < watches % connections ? 1 : 0);
  for (const [i, stream] of streams.entries()) {
    for (let n = 0; n < share(i); n++) {
      stream.send(WatchRequest.of({ createRequest: WatchCreateRequest.of({ key }) }));
    }
    for (let n = 0; n < share(i); n++) await stream.next();
  }
  const writer = await subject.connect();
  const times: number[] = [];
  for (let i = 0; i < puts; i++) {
    const start = performance.now();
    const put = writer.call(KV + "Put", PutRequest, PutResponse, { key, value: key });
    await Promise.all(streams.map(async (stream, at) => {
      for (let events = 0; events < share(at);) {
        const message = await stream.next();
        if (!message.ok) throw new Error(message.message);
        events += message.value.events.length;
      }
    }));
    times.push(performance.now() - start);
    await put;
  }
  for (const client of [...clients, writer]) await client.close();
  return times.sort((a, b) => a - b);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

function medians(rounds: readonly Figures[]): Figures {
  return {
    perSecond: median(rounds.map((r) => r.perSecond)),
    meanMs: median(rounds.map((r) => r.meanMs)),
    p50Ms: median(rounds.map((r) => r.p50Ms)),
    p99Ms: median(rounds.map((r) => r.p99Ms)),
    cpuUsPerOp: median(rounds.map((r) => r.cpuUsPerOp)),
    residentMiB: median(rounds.map((r) => r.residentMiB)),
    diskMiB: median(rounds.map((r) => r.diskMiB)),
  };
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

async function main(): Promise<void> {
  const flags = parseArgs(Deno.args, { boolean: ["short"], string: ["json"] });
  const short = flags["short"] === true;
  const rounds = short ? 1 : 3;
  const scale = short ? 0.25 : 1;
  const base = await Deno.makeTempDir({ prefix: "etcd-side-by-side-" });
  await using ours = await startOurs(base);
  await using reference = await startReferenceEtcd();
  const etcd: Subject = {
    name: "etcd",
    pid: reference.pid,
    directory: reference.directory,
    h2load: [],
    url: `http://${reference.host}:${reference.port}`,
    connect: () => EtcdClient.connect({ host: reference.host, port: reference.port }),
  };
  // A server of either kind is slow in its first second, and nobody's is measured.
  for (const subject of [ours, etcd]) await measure(subject, LOADS[0]!, 16, 5_000);
  const rows: Row[] = [];
  say(`etcd ${reference.version}; ours / etcd, median of ${rounds}`);
  say(HEADING);
  for (const load of LOADS) {
    for (const inFlight of [1, 16, 64, 256]) {
      const requests = Math.round((inFlight === 1 ? 2_000 : 20_000) * scale);
      const results: { ours: Figures[]; etcd: Figures[] } = { ours: [], etcd: [] };
      for (let round = 0; round < rounds; round++) {
        for (const subject of [ours, etcd]) {
          results[subject.name].push(await measure(subject, load, inFlight, requests));
        }
      }
      const row = {
        load: load.name,
        inFlight,
        ours: medians(results.ours),
        etcd: medians(results.etcd),
      };
      rows.push(row);
      say(formatRow(row));
    }
  }
  const fans: Fan[] = [];
  for (const watches of [1, 10, 100, 1000]) {
    const puts = Math.round((watches === 1000 ? 100 : 300) * scale);
    const fan = {
      watches,
      ours: await fanOut(ours, watches, puts),
      etcd: await fanOut(etcd, watches, puts),
    };
    fans.push(fan);
    say(
      `put to ${String(watches).padStart(4)} watches: ` +
        [0.5, 0.99].map((q) => {
          const [a, b] = [quantile(fan.ours, q), quantile(fan.etcd, q)];
          return `p${q * 100} ${a.toFixed(2)} / ${b.toFixed(2)} ms, ${(a / b).toFixed(2)}x`;
        }).join("; "),
    );
  }
  const targets = compareTargets(rows, fans);
  for (const { name, ratio, met } of targets) {
    say(`${name}: ${ratio.toFixed(2)}x, ${met ? "met" : "not met"}`);
  }
  if (flags["json"] !== undefined) {
    const report = { etcd: reference.version, rounds, rows, fans, targets };
    await Deno.writeTextFile(String(flags["json"]), JSON.stringify(report, null, 2));
  }
  await Deno.remove(base, { recursive: true }).catch(() => {});
}

if (import.meta.main) await main();
