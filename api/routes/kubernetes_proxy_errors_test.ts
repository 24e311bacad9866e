/** By what the runtime's own fetch rejects with: its words are not promised to stay. */
import { assertEquals, assertRejects } from "@std/assert";
import { openTlsIdentity } from "../tls/identity.ts";
import { memoryStore } from "../../tests/fakes/api.ts";
import { upstreamError } from "./kubernetes_proxy_errors.ts";

/** Words that must not be taken for what went wrong. */
const PATH = "/apis/certificates.k8s.io/v1/fatal-alert";

async function told(url: string, method: string, client?: Deno.HttpClient) {
  const init = { method, ...(client === undefined ? {} : { client }) };
  const cause = await assertRejects(() => fetch(`${url}${PATH}`, init), TypeError);
  const error = upstreamError(cause, method);
  return [error.code, error.headers["Retry-After"]];
}

/** Takes each connection, and a request from it, and says nothing. */
async function closeAll(listener: Deno.Listener): Promise<void> {
  for await (const connection of listener) {
    await connection.read(new Uint8Array(4_096)).catch(() => null);
    connection.close();
  }
}

Deno.test("`upstreamError()` is 503, to be asked again, when nobody takes the connection", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const url = `https://127.0.0.1:${listener.addr.port}`;
  listener.close();
  for (const method of ["GET", "POST"]) assertEquals(await told(url, method), [503, "1"]);
});

Deno.test("`upstreamError()` is 503 when the connection ends before TLS stands", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closing = closeAll(listener);
  assertEquals(await told(`https://127.0.0.1:${listener.addr.port}`, "POST"), [503, "1"]);
  listener.close();
  await closing;
});

Deno.test("`upstreamError()` is 502 for whoever cannot prove who it is, and for a change that broke off", async () => {
  await using store = await memoryStore();
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const tls = await openTlsIdentity({ store, clock: Date.now, random, names: [] });
  const { key, certificateChain: cert } = tls.issue().credentials;
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, key, cert });
  const closing = closeAll(listener);
  const url = `https://127.0.0.1:${listener.addr.port}`;
  for (const method of ["GET", "POST"]) assertEquals(await told(url, method), [502, undefined]);
  using client = Deno.createHttpClient({ caCerts: [tls.caPem] });
  assertEquals(await told(url, "GET", client), [503, "1"]);
  for (const method of ["POST", "PATCH", "DELETE"]) {
    assertEquals(await told(url, method, client), [502, undefined]);
  }
  listener.close();
  await closing;
});
