import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { testApi } from "../tests/fakes/api.ts";
import { NO_WRITE_BACK, type WriteBackStatus } from "./result_writer.ts";

const ADDRESS = `0x${"5a".repeat(32)}`;
const EMPTY: WriteBackStatus = {
  state: "failing",
  detail: `${ADDRESS} holds 3 MIST for gas, 10000000 are budgeted for a result (send it SUI)`,
  address: ADDRESS,
  waiting: 4,
  written: 5,
  answered: 1,
  givenUp: 2,
  failures: 6,
  balanceMist: 3n,
  gasBudgetMist: 10_000_000n,
  masterCap: `0x${"cc".repeat(32)}`,
};

Deno.test("an empty purse is told at /health, in the metrics, and to the admin", async () => {
  await using api = await testApi({ deps: { writeBack: () => EMPTY } });
  const answer = await api.admin("GET", "/api/v1/admin/signer");
  assertEquals([answer.status, await answer.json()], [200, {
    address: ADDRESS,
    state: "failing",
    detail: EMPTY.detail,
    master_cap: EMPTY.masterCap,
    balance_mist: "3",
    gas_budget_mist: "10000000",
    waiting: 4,
    written: 5,
    answered: 1,
    given_up: 2,
    failures: 6,
  }]);
  const health = await (await api.app.request("/health")).json();
  assertEquals([health.status, health.result_signer], ["degraded", ADDRESS]);
  assertStringIncludes(health.problems.join(), EMPTY.detail);
  const metrics = await (await api.app.request("/metrics")).text();
  for (
    const line of [
      "nautilus_chain_results_waiting 4",
      'nautilus_chain_results_total{outcome="written"} 5',
      'nautilus_chain_results_total{outcome="answered"} 1',
      'nautilus_chain_results_total{outcome="given_up"} 2',
      "nautilus_chain_result_failures_total 6",
      "nautilus_chain_result_signer_balance_mist 3",
      "nautilus_chain_result_gas_budget_mist 10000000",
    ]
  ) assert(metrics.split("\n").includes(line), line);
});

Deno.test("/api/v1/admin/signer and /metrics count what waits when they are asked", async () => {
  let counted = 0;
  await using api = await testApi({
    deps: {
      writeBack: () => ({ ...EMPTY, waiting: counted }),
      countResults: () => Promise.resolve(void counted++),
    },
  });
  const body = await (await api.admin("GET", "/api/v1/admin/signer")).json();
  assertEquals(body.waiting, 1);
  const metrics = await (await api.app.request("/metrics")).text();
  assert(metrics.split("\n").includes("nautilus_chain_results_waiting 2"));
});

Deno.test("/api/v1/admin/signer is the admin's, and says what is missing where nothing signs", async () => {
  await using api = await testApi();
  const stranger = await api.app.request("/api/v1/admin/signer");
  assertEquals([stranger.status, (await stranger.json()).code], [401, "unauthorized"]);
  const body = await (await api.admin("GET", "/api/v1/admin/signer")).json();
  assertEquals([body.state, body.address, body.balance_mist], ["off", null, null]);
  assertEquals(body.detail, NO_WRITE_BACK.detail);
  const metrics = await (await api.app.request("/metrics")).text();
  assert(!metrics.includes("signer_balance_mist 0"), "no purse is not an empty purse");
});
