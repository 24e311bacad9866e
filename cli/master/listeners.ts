/** The master's two HTTP listeners, the same API on both. */
import type { Logger } from "@logtape/logtape";
import type { FetchApp } from "../../api/bridge.ts";
import { type ApiServer, DEFAULT_SERVER_LIMITS, listen } from "../../api/server.ts";
import type { TeeFacts } from "../../api/deps.ts";
import { type Config, ConfigError } from "../../config.ts";
import type { ListenAddress } from "../../config_values.ts";
import type { OpenNode } from "../node/node.ts";
import { formatListen } from "../runtime_files.ts";

export interface Listeners extends AsyncDisposable {
  readonly plain: ApiServer | undefined;
  readonly tls: ApiServer | undefined;
  /** What clients with credentials are told: TLS where there is TLS. */
  readonly main: ApiServer;
  readonly all: readonly ApiServer[];
  /**
   * No new connections; open requests may go on until the deadline. Disposing leaves them no time;
   * after the first call there is nothing left to close.
   * @returns how many connections were cut
   */
  close(deadlineMs: number): Promise<{ readonly cut: number }>;
}

/**
 * Opens what the configuration and the TEE allow.
 * @throws {ConfigError} where nothing would listen, or plain HTTP is asked for where it is refused
 */
export async function openListeners(
  app: FetchApp,
  config: Config,
  node: Pick<OpenNode, "tee" | "tls">,
  log: Logger,
  maxConnections: number,
): Promise<Listeners> {
  const { tee, tls } = node;
  await using undo = new AsyncDisposableStack();
  const open = async (
    address: ListenAddress,
    credentials: Parameters<typeof listen>[1]["tls"],
  ): Promise<ApiServer> => {
    const server = await listen(app, {
      ...address,
      tls: credentials,
      limits: { ...DEFAULT_SERVER_LIMITS, maxConnections },
      log,
    });
    undo.defer(() => server.close(0).then(() => {}));
    return server;
  };
  const plain = allowsPlainHttp(tee, config) ? await open(config.listen, undefined) : undefined;
  const secure = tls === undefined || config.tlsListen === undefined
    ? undefined
    : await openTlsListener(
      (address) => open(address, tls.current.credentials),
      config.tlsListen,
      tee.kind === "SIMULATION" && !config.given.has("tlsListen") ? log : undefined,
    );
  const main = secure ?? plain;
  if (main === undefined) {
    throw new ConfigError(`--tls-listen: off leaves ${tee.kind} without any listener`);
  }
  undo.move();
  const all = [plain, secure].filter((server) => server !== undefined);
  let closing: Promise<{ readonly cut: number }> | undefined;
  const close = (deadlineMs: number) => closing ??= closeAll(all, deadlineMs);
  return {
    plain,
    tls: secure,
    main,
    all,
    close,
    [Symbol.asyncDispose]: () => close(0).then(() => {}),
  };
}

async function closeAll(servers: readonly ApiServer[], deadlineMs: number) {
  const closed = await Promise.all(servers.map((server) => server.close(deadlineMs)));
  return { cut: closed.reduce((sum, { cut }) => sum + cut, 0) };
}

/** Whoever carries plain HTTP reads it: allowed where nobody is protected, or the kernel is inside. */
function allowsPlainHttp({ kind, covers }: TeeFacts, config: Config): boolean {
  if (kind === "SIMULATION" || covers === "image") return true;
  if (!config.given.has("listen")) return false;
  throw new ConfigError(
    `--listen: plain HTTP is refused on ${kind}, whose measurement covers ${covers}; ` +
      "use --tls-listen",
  );
}

/**
 * In the simulation nobody chose the default port, so a developer's second master takes another one
 * and says so. Elsewhere a port that is taken stops the start.
 */
async function openTlsListener(
  open: (address: ListenAddress) => Promise<ApiServer>,
  address: ListenAddress,
  mayMove: Logger | undefined,
): Promise<ApiServer> {
  try {
    return await open(address);
  } catch (error) {
    const inUse = error instanceof Error && "code" in error && error.code === "EADDRINUSE";
    if (mayMove === undefined || !inUse) throw error;
    const server = await open({ ...address, port: 0 });
    mayMove.warn("the default TLS port is in use; another one is taken", {
      wanted: formatListen(address),
      tls_url: server.url,
    });
    return server;
  }
}
