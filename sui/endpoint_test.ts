import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { formatEndpoint, parseEndpoint } from "./endpoint.ts";

Deno.test("parseEndpoint() tells gRPC from GraphQL by what is written", () => {
  const cases: readonly (readonly [string, "grpc" | "graphql", string])[] = [
    ["https://fullnode.testnet.sui.io:443", "grpc", "https://fullnode.testnet.sui.io"],
    ["http://127.0.0.1:9000/", "grpc", "http://127.0.0.1:9000"],
    ["https://node.example/key/", "grpc", "https://node.example/key"],
    [
      "graphql+https://graphql.testnet.sui.io/graphql",
      "graphql",
      "https://graphql.testnet.sui.io/graphql",
    ],
    ["graphql+http://127.0.0.1:9000/graphql/", "graphql", "http://127.0.0.1:9000/graphql"],
    ["graphql+https://node.example/key/v2", "graphql", "https://node.example/key/v2"],
  ];
  for (const [text, protocol, url] of cases) {
    const endpoint = parseEndpoint(text);
    assertEquals(endpoint, { protocol, url });
    assertEquals(parseEndpoint(formatEndpoint(endpoint)), endpoint);
  }
});

Deno.test("parseEndpoint() refuses what could be either, and says what to write", () => {
  const refusals: readonly (readonly [string, string])[] = [
    [
      "https://graphql.testnet.sui.io/graphql",
      "write graphql+https://graphql.testnet.sui.io/graphql",
    ],
    ["https://graphql.testnet.sui.io", "write graphql+https://graphql.testnet.sui.io/graphql"],
    ["https://node.example/key/graphql/", "write graphql+https://node.example/key/graphql"],
    ["graphql+https://graphql.testnet.sui.io", "path"],
    ["graphql+https://graphql.testnet.sui.io//", "path"],
    ["graphql+ftp://node/graphql", "are wanted"],
    ["graphql://node/graphql", "are wanted"],
    ["grpc://node", "are wanted"],
    ["node:9000", "are wanted"],
    ["", "are wanted"],
    ["https://user:secret@node", "credentials"],
    ["graphql+https://user@node/graphql", "credentials"],
  ];
  for (const [text, words] of refusals) {
    assertThrows(() => parseEndpoint(text), TypeError, words, text);
  }
});

Deno.test("parseEndpoint() reads back what it made of any text, or refuses it", () => {
  const text = fc.tuple(
    fc.constantFrom("", "graphql+", "graphql+graphql+"),
    fc.constantFrom("https://", "http://", "HTTPS://", "ftp://", "//", ""),
    fc.constantFrom(
      "node.example",
      "graphql.node.example",
      "127.0.0.1:9000",
      "[::1]:1",
      "u:p@a",
      "",
    ),
    fc.array(fc.oneof(fc.constantFrom("/", "graphql", "?q=1", "#f", ".."), fc.string()), {
      maxLength: 4,
    }),
  ).map(([protocol, scheme, host, path]) => protocol + scheme + host + path.join(""));
  fc.assert(fc.property(text, (text) => {
    let endpoint;
    try {
      endpoint = parseEndpoint(text);
    } catch (error) {
      if (error instanceof TypeError) return;
      throw error;
    }
    assertEquals(parseEndpoint(formatEndpoint(endpoint)), endpoint);
  }));
});
