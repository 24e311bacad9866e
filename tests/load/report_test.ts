import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LoadClient, loopbackAddress } from "./client.ts";
import { cpuPercent, processFigures, watchMemory } from "./process_figures.ts";
import { request } from "./prepared.ts";
import { formatRows, quantile } from "./report.ts";

Deno.test("quantile() takes the sample at that part of the sorted ones", () => {
  const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
  assertEquals([quantile(samples, 0.5), quantile(samples, 0.99)], [51, 100]);
  assertEquals(quantile([7], 0.99), 7);
  assertEquals(quantile([], 0.5), undefined);
});

Deno.test("formatRows() says what was met, what not, and what was skipped", () => {
  const text = formatRows([
    { name: "a", perSecond: 12_345, target: { text: ">= 10,000/s", met: true } },
    { name: "b", p99Ms: 61, target: { text: "p99 <= 50 ms", met: false } },
    { name: "c", skipped: "no wrk" },
  ]);
  assertStringIncludes(text, "12,345");
  assertStringIncludes(text, "NOT MET");
  assertStringIncludes(text, "c  skipped: no wrk");
});

Deno.test("processFigures() reads this process", () => {
  const before = processFigures(Deno.pid);
  assert(before.residentMB > 10 && before.cpuMs > 0);
  assertEquals(
    cpuPercent({ cpuMs: 100, atMs: 0, residentMB: 1 }, { ...before, cpuMs: 600, atMs: 1_000 }),
    50,
  );
});

Deno.test("watchMemory() tells the most there was, each time since the last", () => {
  using memory = watchMemory(Deno.pid);
  const block = new Uint8Array(64 << 20).fill(1);
  const high = memory.highestMB();
  assert(high >= 64, `${high} MB with ${block.length} bytes written`);
  assert(memory.highestMB() > 10);
});

Deno.test("loopbackAddress() gives addresses of 127.0.0.0/8, all different", () => {
  const addresses = Array.from({ length: 5_000 }, (_, i) => loopbackAddress(i));
  assertEquals(new Set(addresses).size, 5_000);
  assert(addresses.every((address) => /^127\.\d+\.\d+\.\d+$/.test(address)));
});

Deno.test("LoadClient speaks with a server, over a kept connection and over new ones", async () => {
  const seen: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (r, info) => {
      seen.push(`${info.remoteAddr.hostname}:${info.remoteAddr.port}`);
      return new Response(`${r.method} ${await r.text()}`, { status: 201 });
    },
  );
  for (const keep of [true, false]) {
    seen.length = 0;
    const client = new LoadClient(server.addr.port, "127.0.0.9", keep);
    for (const body of ["one", "two"]) {
      const answer = await client.request("POST", "/x", { "X-A": "b" }, body);
      assertEquals(answer, { status: 201, body: `POST ${body}` });
    }
    client.close();
    assertEquals(new Set(seen).size, keep ? 1 : 2);
    assert(seen.every((address) => address.startsWith("127.0.0.9:")));
  }
  await server.shutdown();
});

Deno.test("request() writes what HTTP wants, with the body's length", () => {
  assertEquals(
    request("POST", "/p", { "X-A": "b" }, "{}"),
    "POST /p HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\nContent-Type: application/json\r\n" +
      "Content-Length: 2\r\n\r\n{}",
  );
});
