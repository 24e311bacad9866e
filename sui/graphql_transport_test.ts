import { assertRejects } from "@std/assert";
import { postQuery } from "./graphql_transport.ts";

Deno.test("postQuery() ends an answer that stalls with the signal, whatever fetch does about it", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  const body = new ReadableStream({ cancel: cancelled.resolve });
  const headers = { "content-type": "application/json" };
  const endpoint = {
    url: "http://node/graphql",
    fetch: () => Promise.resolve(new Response(body, { headers })),
    maxAnswerBytes: 1_000,
  };
  const controller = new AbortController();
  const asking = assertRejects(
    () => postQuery(endpoint, "{ chainIdentifier }", {}, controller.signal),
    Error,
    "late",
  );
  controller.abort(new Error("late"));
  await asking;
  await cancelled.promise;
});
