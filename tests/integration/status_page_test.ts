/** The status page in a real browser: its own policy lets it live, it fits a phone, it updates. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makePlace, startMaster } from "./harness.ts";
import { startChromium } from "./chromium.ts";

Deno.test("the status page lives in Chromium under its own policy, on a desk and on a phone", async () => {
  await using page = await startChromium();
  if (page === undefined) {
    Deno.stderr.writeSync(new TextEncoder().encode("skipped: chromium is not installed\n"));
    return;
  }
  await using place = await makePlace();
  await using master = await startMaster(place);
  const pictures = Deno.env.get("NAUTILUS_TEST_PICTURES");
  for (const [width, height] of [[1200, 800], [390, 800]] as const) {
    await page.open(`${master.url}/`, width, height);
    // Resolves with the first event; a page that gets none hangs here and the test with it.
    await page.evaluate(`new Promise((done) => {
      const element = document.getElementById("connection");
      if (element.textContent === "live") return done();
      new MutationObserver(() => element.textContent === "live" && done())
        .observe(element, { childList: true });
    })`);
    assertEquals(await page.evaluate("document.documentElement.scrollWidth"), width);
    assertEquals(
      await page.evaluate("getComputedStyle(document.querySelector('.banner')).textAlign"),
      "center",
    );
    if (pictures !== undefined) {
      await Deno.writeFile(`${pictures}/status-${width}.png`, await page.picture());
    }
  }
  const text = String(await page.evaluate("document.body.innerText"));
  assertStringIncludes(text, "Simulation: nothing here is protected");
  assertStringIncludes(text, `nautilus verify ${master.url} --policy policy.jsonc`);
  const before = await page.evaluate("document.querySelector('[data-live=time]').textContent");
  const after = await page.evaluate(`new Promise((done) => {
    const element = document.querySelector("[data-live=time]");
    new MutationObserver(() => done(element.textContent)).observe(element, { childList: true });
  })`);
  assert(before !== after);
  assertEquals(page.complaints.filter((text) => !text.includes("favicon")), []);
});
