/** The real listener over TLS, for a client that is another program. */
import { type ApiServer, DEFAULT_SERVER_LIMITS, listen } from "../../api/server.ts";
import { openTlsIdentity } from "../../api/tls/identity.ts";
import type { TestApi } from "./api.ts";

/** A listener for `api` on any port, with the CA (PEM) that vouches for it. Close the server. */
export async function listenTls(
  api: TestApi,
): Promise<{ readonly server: ApiServer; readonly caPem: string }> {
  const tls = await openTlsIdentity({
    store: api.store,
    clock: Date.now,
    random: api.deps.random,
    names: [],
  });
  const server = await listen(api.app, {
    host: "127.0.0.1",
    port: 0,
    tls: tls.issue().credentials,
    limits: DEFAULT_SERVER_LIMITS,
    log: api.deps.log,
  });
  return { server, caPem: tls.caPem };
}
