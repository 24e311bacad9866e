import { assert, assertEquals, assertRejects } from "@std/assert";
import { SuiGraphQLClient } from "@mysten/sui/graphql";
import {
  buildSchema,
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isObjectType,
  isUnionType,
  parse,
  validate,
} from "graphql";
import * as v from "valibot";
import {
  EVENTS_QUERY,
  OBJECTS_QUERY,
  STATUS_QUERY,
  ZKLOGIN_QUERY,
} from "../../../sui/graphql_queries.ts";
import { SealToken } from "../../../sui/bcs.ts";
import { FakeChain } from "./chain.ts";
import { FakeGateway } from "./gateway.ts";
import { SCHEMA } from "./graphql_schema.ts";
import { REFERENCE_GAS_PRICE } from "./node.ts";
import { type FakeNode, startFakeNode } from "./server.ts";
import { zkLoginSignature } from "./wallets.ts";

const ALICE = "0x" + "a1".repeat(32);

interface World extends AsyncDisposable {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly node: FakeNode;
  readonly client: SuiGraphQLClient;
}

async function world(): Promise<World> {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  const node = await startFakeNode({ gateway });
  return {
    chain,
    gateway,
    node,
    client: new SuiGraphQLClient({ url: node.graphqlUrl, network: "custom" }),
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

Deno.test("the GraphQL client of @mysten/sui reads chain, objects, events and prices from it", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const { chainIdentifier } = await w.client.core.getChainIdentifier();
  assertEquals(chainIdentifier, w.chain.chainId);

  const missing = "0x" + "77".repeat(32);
  const { objects: [token, none] } = await w.client.core.getObjects({
    objectIds: [tokenId, missing],
    include: { content: true, previousTransaction: true },
  });
  assert(token !== undefined && !(token instanceof Error));
  const live = w.chain.latest(tokenId);
  assertEquals([token.version, token.digest], [String(live?.version), live?.digest]);
  assertEquals(token.owner, { $kind: "AddressOwner", AddressOwner: ALICE });
  assertEquals(SealToken.parse(token.content).node_id, "node-a");
  assertEquals(token.previousTransaction, live?.previousTransaction);
  assert(none instanceof Error);

  const owned = await w.client.core.listOwnedObjects({ owner: ALICE, type: token.type });
  assertEquals(owned.objects.map(({ objectId }) => objectId), [tokenId]);

  for (let i = 0; i < 3; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const filter = { eventType: `${w.gateway.packageId}::k8s_gateway::E` };
  const first = await w.client.core.listEvents({ filter, limit: 2 });
  assertEquals(first.events.map(({ bcs }) => bcs[0]), [0, 1]);
  assertEquals(first.events[0]?.checkpoint, String(w.chain.tip.sequence - 2n));
  assertEquals(first.hasNextPage, true);
  const rest = await w.client.core.listEvents({ filter, after: first.endCursor });
  assertEquals([rest.events.map(({ bcs }) => bcs[0]), rest.hasNextPage], [[2], false]);
  for (
    const other of [{ sender: ALICE }, { emitModule: `${w.gateway.packageId}::k8s_gateway` }]
  ) {
    const { events } = await w.client.core.listEvents({ filter: other, limit: 50 });
    assertEquals(events.length, 4);
  }

  const { referenceGasPrice } = await w.client.core.getReferenceGasPrice();
  assertEquals(referenceGasPrice, String(REFERENCE_GAS_PRICE));
});

Deno.test("the GraphQL client of @mysten/sui has zkLogin signatures judged by it", async () => {
  await using w = await world();
  const message = new TextEncoder().encode("hello");
  const { address, signature } = await zkLoginSignature(message);
  const verify = () =>
    w.client.core.verifyZkLoginSignature({
      bytes: message.toBase64(),
      signature,
      intentScope: "PersonalMessage",
      address,
    });
  assertEquals((await verify()).success, false);
  w.chain.zkLogin.set(signature, { address, message });
  assertEquals((await verify()).success, true);
});

Deno.test("it refuses what the real service refuses, with the same codes", async () => {
  await using w = await world();
  const Errors = v.array(v.object({ extensions: v.object({ code: v.string() }) }));
  const codes = async (query: string, variables: Record<string, unknown> = {}) => {
    const response = await fetch(w.node.graphqlUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ query, variables }),
    });
    assertEquals(response.status, 200);
    const { errors } = v.parse(v.object({ errors: v.unknown() }), await response.json());
    return v.parse(Errors, errors).map(({ extensions }) => extensions.code);
  };
  assertEquals(await codes("{"), ["GRAPHQL_PARSE_FAILED"]);
  assertEquals(await codes("{ nothing }"), ["GRAPHQL_VALIDATION_FAILED"]);
  assertEquals(await codes("{ events(first: 51) { nodes { sequenceNumber } } }"), [
    "BAD_USER_INPUT",
  ]);
  assertEquals(await codes('{ events(after: "AA") { nodes { sequenceNumber } } }'), [
    "BAD_USER_INPUT",
  ]);
  assertEquals(
    await codes(`{ events(filter: { type: "0x1::m", module: "0x1::m" }) { nodes {
      sequenceNumber } } }`),
    ["FEATURE_UNAVAILABLE"],
  );
  assertEquals(await codes(`{ chainIdentifier } # ${"x".repeat(5_000)}`), [
    "GRAPHQL_VALIDATION_FAILED",
  ]);
  assertEquals(await codes(OBJECTS_QUERY, { keys: [{ address: "alice" }] }), ["BAD_USER_INPUT"]);
  assertEquals(await codes(OBJECTS_QUERY, { keys: 7 }), ["BAD_USER_INPUT"]);
  await assertRejects(
    () =>
      w.client.core.getObjects({ objectIds: [ALICE], include: { objectBcs: true } }).then(
        // Only what exists has bytes to refuse.
        () =>
          w.client.core.getObjects({
            objectIds: [w.gateway.registryId],
            include: { objectBcs: true },
          }),
      ),
    Error,
    "objectBcs",
  );
});

Deno.test("it answers every field of one request at one checkpoint, and lags as a whole", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.node.faults.set({ kind: "lag", checkpoints: 1 });
  const { data } = await w.client.query<Record<string, unknown>, Record<string, unknown>>({
    query: OBJECTS_QUERY,
    variables: { keys: [{ address: tokenId }] },
  });
  const { checkpoint, multiGetObjects } = v.parse(
    v.object({
      checkpoint: v.object({ sequenceNumber: v.number() }),
      multiGetObjects: v.array(v.unknown()),
    }),
    data,
  );
  assertEquals([checkpoint.sequenceNumber, multiGetObjects], [
    Number(w.chain.tip.sequence) - 1,
    [null],
  ]);
});

/** The schema that @mysten/sui was generated from; undefined where its sources are not at hand. */
async function publicSchema(): Promise<GraphQLSchema | undefined> {
  const info = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json"],
    stderr: "null",
  }).output();
  const { npmCache } = v.parse(
    v.object({ npmCache: v.string() }),
    JSON.parse(new TextDecoder().decode(info.stdout)),
  );
  const version = /@mysten\/sui@([0-9.]+)/.exec(
    await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)),
  )?.[1];
  for await (const registry of Deno.readDir(npmCache)) {
    const file = `${npmCache}/${registry.name}/@mysten/sui/${version}/src/graphql/generated/` +
      "schema.graphql";
    const text = await Deno.readTextFile(file).catch((error: unknown) => {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw error;
    });
    if (text !== undefined) return buildSchema(text);
  }
  return undefined;
}

const QUERIES = { STATUS_QUERY, OBJECTS_QUERY, EVENTS_QUERY, ZKLOGIN_QUERY };
const PUBLIC = await publicSchema();
const WHY = PUBLIC === undefined ? " (skipped: the npm cache holds no sources of @mysten/sui)" : "";

Deno.test("what the program asks is valid under the stand-in's schema", () => {
  for (const [name, query] of Object.entries(QUERIES)) {
    assertEquals(validate(buildSchema(SCHEMA), parse(query)).map(String), [], name);
  }
});

Deno.test({
  name: `what the program asks is valid under the public schema${WHY}`,
  ignore: PUBLIC === undefined,
  fn: () => {
    assert(PUBLIC !== undefined);
    for (const [name, query] of Object.entries(QUERIES)) {
      assertEquals(validate(PUBLIC, parse(query)).map(String), [], name);
    }
  },
});

Deno.test({
  name: `every type, field and argument of the stand-in's schema is in the public one${WHY}`,
  ignore: PUBLIC === undefined,
  fn: () => {
    assert(PUBLIC !== undefined);
    compareSchemas(buildSchema(SCHEMA), PUBLIC);
  },
});

function compareSchemas(own: GraphQLSchema, real: GraphQLSchema): void {
  let compared = 0;
  const compare = (
    where: string,
    ours: GraphQLField<unknown, unknown> | GraphQLInputField,
    theirs: GraphQLField<unknown, unknown> | GraphQLInputField | undefined,
  ) => {
    assertEquals(String(ours.type), String(theirs?.type), where);
    compared++;
    if (!("args" in ours)) return;
    assert(theirs !== undefined && "args" in theirs);
    for (const argument of ours.args) {
      const same = theirs.args.find(({ name }) => name === argument.name);
      assertEquals(String(argument.type), String(same?.type), `${where}(${argument.name})`);
    }
  };
  for (const type of Object.values(own.getTypeMap())) {
    if (type.name.startsWith("__")) continue;
    const theirs = real.getType(type.name);
    assertEquals(theirs?.constructor, type.constructor, type.name);
    if (isObjectType(type) && isObjectType(theirs)) {
      for (const [name, field] of Object.entries(type.getFields())) {
        compare(`${type.name}.${name}`, field, theirs.getFields()[name]);
      }
    } else if (isInputObjectType(type) && isInputObjectType(theirs)) {
      for (const [name, field] of Object.entries(type.getFields())) {
        compare(`${type.name}.${name}`, field, theirs.getFields()[name]);
      }
    } else if (isUnionType(type) && isUnionType(theirs)) {
      assertEquals(
        type.getTypes().map(String).toSorted(),
        theirs.getTypes().map(String).toSorted(),
        type.name,
      );
    } else if (isEnumType(type) && isEnumType(theirs)) {
      assertEquals(
        type.getValues().map(({ name }) => name).toSorted(),
        theirs.getValues().map(({ name }) => name).toSorted(),
        type.name,
      );
    }
  }
  assert(compared > 60, `only ${compared} fields were compared`);
}
