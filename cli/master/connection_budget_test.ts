import { assert, assertEquals } from "@std/assert";
import { connectionBudget } from "./connection_budget.ts";

const limits = (soft: number, hard: number) =>
  `Limit                     Soft Limit           Hard Limit           Units\n` +
  `Max open files            ${soft}                 ${hard}               files\n`;

Deno.test("connectionBudget() leaves descriptors over, whatever the system allows", () => {
  for (const hard of [64, 256, 1024, 20_000, 1_048_576]) {
    for (const isProxy of [false, true]) {
      const { http, etcd } = connectionBudget(limits(64, hard), isProxy);
      // Two HTTP listeners; of a proxied request the other half is a connection, too.
      assert((isProxy ? 4 : 2) * http + etcd < hard, `${hard}: ${http}, ${etcd}`);
      assert(http >= 4 && etcd >= 4);
    }
  }
  for (const isProxy of [false, true]) {
    const ample = { http: 20_000, etcd: 4_096 };
    assertEquals(connectionBudget(limits(1024, 1_048_576), isProxy), ample);
    assertEquals(
      connectionBudget(undefined, isProxy),
      connectionBudget(limits(1024, 1024), isProxy),
    );
  }
});
