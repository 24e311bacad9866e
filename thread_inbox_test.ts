import { assertEquals } from "@std/assert";
import { holdMessages } from "./thread_inbox.ts";

function send(scope: EventTarget, data: unknown): void {
  scope.dispatchEvent(new MessageEvent("message", { data }));
}

Deno.test("holdMessages() gives what came early to whoever listens in the end, once and in order", () => {
  const scope = new EventTarget();
  const release = holdMessages(scope);
  send(scope, 1);
  const heard: unknown[] = [];
  scope.addEventListener("message", (event) => {
    if (event instanceof MessageEvent) heard.push(event.data);
  });
  // Somebody listens, but what came before has not been given out yet.
  send(scope, 2);
  assertEquals(heard, []);
  release();
  assertEquals(heard, [1, 2]);
  send(scope, 3);
  assertEquals(heard, [1, 2, 3]);
});

Deno.test("a Worker whose modules load late hears everything", async () => {
  const source = `
    import { holdMessages } from ${
    JSON.stringify(new URL("thread_inbox.ts", import.meta.url).href)
  };
    const release = holdMessages(globalThis);
    await new Promise((resolve) => setTimeout(resolve, 20));
    self.onmessage = ({ data }) => self.postMessage(data);
    release();
  `;
  const url = URL.createObjectURL(new Blob([source], { type: "application/typescript" }));
  const worker = new Worker(url, { type: "module" });
  const heard: unknown[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  worker.onmessage = ({ data }) => {
    if (heard.push(data) === 3) resolve();
  };
  worker.onerror = reject;
  for (const data of ["a", "b", "c"]) worker.postMessage(data);
  await promise;
  worker.terminate();
  URL.revokeObjectURL(url);
  assertEquals(heard, ["a", "b", "c"]);
});
