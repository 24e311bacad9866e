import { assert, assertEquals } from "@std/assert";
import { connectionBudget } from "./connection_budget.ts";

const limits = (soft: number, hard: number) =>
  `Limit                     Soft Limit           Hard Limit           Units\n` +
  `Max open files            ${soft}                 ${hard}               files\n`;

Deno.test("connectionBudget() leaves descriptors over, whatever the system allows", () => {
  for (const hard of [64, 256, 1024, 20_000, 1_048_576]) {
    const { http, etcd } = connectionBudget(limits(64, hard));
    assert(2 * http + etcd < hard, `${hard}: ${http}, ${etcd}`);
    assert(http >= 4 && etcd >= 4);
  }
  assertEquals(connectionBudget(limits(1024, 1_048_576)), { http: 20_000, etcd: 4_096 });
  assertEquals(connectionBudget(undefined), connectionBudget(limits(1024, 1024)));
});
