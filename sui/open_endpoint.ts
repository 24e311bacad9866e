/** Endpoints of the chain, opened by what they speak. */
import type { ChainClient, ChainClientOptions } from "./chain_client.ts";
import { parseEndpoint } from "./endpoint.ts";
import { openGraphqlLedger } from "./graphql_ledger.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";

/**
 * Opens them all, asks nothing of any yet. Those that speak gRPC come first: of equal answers the
 * first is handed on, and an event cursor of theirs holds the node's own, which saves a search.
 *
 * @param endpoints as `parseEndpoint` reads them
 * @throws {TypeError} where one cannot be read
 */
export async function openEndpoints(
  endpoints: readonly string[],
  options: Omit<ChainClientOptions, "endpoint"> = {},
): Promise<readonly ChainClient[]> {
  const parsed = endpoints.map(parseEndpoint);
  const ordered = [
    ...parsed.filter(({ protocol }) => protocol === "grpc"),
    ...parsed.filter(({ protocol }) => protocol === "graphql"),
  ];
  return await Promise.all(
    ordered.map(({ protocol, url }) =>
      protocol === "grpc"
        ? openGrpcLedger({ ...options, endpoint: url })
        : openGraphqlLedger({ ...options, endpoint: url })
    ),
  );
}
