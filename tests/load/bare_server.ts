/** The least that this runtime can do, for comparison: `deno run bare_server.ts serve|http`. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

if (import.meta.main) {
  const print = (port: number) => Deno.stdout.writeSync(new TextEncoder().encode(`port ${port}\n`));
  if (Deno.args[0] === "serve") {
    const server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: ({ port }) => print(port) },
      () => new Response("ok"),
    );
    await server.finished;
  } else {
    const server = createServer((_request, response) => {
      response.writeHead(200, { "Content-Length": "2" });
      response.end("ok");
    });
    server.listen(0, "127.0.0.1", () => {
      const address: AddressInfo | string | null = server.address();
      if (address !== null && typeof address === "object") print(address.port);
    });
  }
}
