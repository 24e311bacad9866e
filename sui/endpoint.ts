/**
 * Endpoints of the chain as an operator names them: `https://host[:port]` speaks gRPC, as full nodes
 * do; `graphql+https://host/path` speaks GraphQL, as Sui's indexers do.
 */

export interface ChainEndpoint {
  readonly protocol: "grpc" | "graphql";
  /** http(s), without a trailing slash. */
  readonly url: string;
}

const GRAPHQL = "graphql+";

/**
 * What `text` names. One that looks like GraphQL and does not say so is refused: gRPC would ask it in
 * vain.
 *
 * @throws {TypeError} saying what is wrong, and what to write instead
 */
export function parseEndpoint(text: string): ChainEndpoint {
  const says = text.startsWith(GRAPHQL);
  const address = says ? text.slice(GRAPHQL.length) : text;
  const parsed = URL.canParse(address) ? new URL(address) : undefined;
  if (parsed === undefined || (parsed.protocol !== "http:" && parsed.protocol !== "https:")) {
    throw new TypeError("https:// (gRPC) or graphql+https:// (GraphQL) URLs are wanted");
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new TypeError("a URL must not carry credentials");
  }
  const url = parsed.href.replace(/\/+$/, "");
  const { pathname } = new URL(url);
  if (says) {
    if (pathname !== "/") return { protocol: "graphql", url };
    throw new TypeError(`the path of the GraphQL service is missing: ${GRAPHQL}${url}/graphql?`);
  }
  if (!looksLikeGraphql(parsed.hostname, pathname)) return { protocol: "grpc", url };
  const path = pathname === "/" ? "/graphql" : "";
  throw new TypeError(`this looks like GraphQL: write ${GRAPHQL}${url}${path} if it is`);
}

/** The one spelling of an endpoint, which `parseEndpoint` reads. */
export function formatEndpoint({ protocol, url }: ChainEndpoint): string {
  return protocol === "graphql" ? GRAPHQL + url : url;
}

/** Where Sui's GraphQL RPC is found: under /graphql, on hosts called graphql.<network>. */
function looksLikeGraphql(hostname: string, pathname: string): boolean {
  return /\/graphql$/.test(pathname) || hostname.startsWith("graphql.");
}
