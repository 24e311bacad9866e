import { assertEquals, assertRejects } from "@std/assert";
import { connect, createServer } from "node:net";
import { readStream } from "./pinned_stream.ts";

/** What comes out of an answer that a peer sends in these pieces before it closes. */
async function answered(pieces: readonly string[]): Promise<{ status: number; body: string }> {
  const server = createServer(async (socket) => {
    socket.on("error", () => {});
    socket.resume();
    for (const piece of pieces) {
      socket.write(new TextEncoder().encode(piece));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    socket.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = server.address();
    if (address === null || typeof address === "string") throw new TypeError("no address");
    const socket = connect({ host: "127.0.0.1", port: address.port });
    const request = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
    const { status, body } = await readStream(socket, request, 10_000);
    let text = "";
    for await (const piece of body) text += new TextDecoder().decode(piece);
    return { status, body: text };
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const HEAD = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

Deno.test("readStream() gives an answer in chunks or with a length, however it is cut", async () => {
  const chunked = `${HEAD}5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n`;
  assertEquals(await answered([chunked]), { status: 200, body: "hello, world" });
  assertEquals(await answered([...chunked]), { status: 200, body: "hello, world" });
  const counted = "HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno";
  assertEquals(await answered([...counted]), { status: 409, body: "no" });
});

Deno.test("readStream() takes no answer that breaks off, lies, or does not say where it ends", async () => {
  const bad = [
    "",
    "SSH-2.0-x\r\n\r\n",
    HEAD,
    `${HEAD}5\r\nhel`,
    `${HEAD}5\r\nhello\r\n`,
    `${HEAD}3\r\nhello\r\n0\r\n\r\n`,
    `${HEAD}zz\r\n`,
    "HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
  ];
  for (const text of bad) await assertRejects(() => answered([text]), Error, "", text);
});
