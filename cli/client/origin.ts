/** The address of a master or a node, as a command line names it. */

/** Undefined for anything but http(s)://HOST[:PORT]. */
export function parseOrigin(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWhole = url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" &&
    url.password === "" && url.search === "" && url.hash === "" && url.pathname === "/";
  return isWhole ? url : undefined;
}

/** Whether plain HTTP stays on this machine. */
export function isLoopback({ hostname }: URL): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
}
