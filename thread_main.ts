/** What a Worker of the built file runs instead of main.ts: it would keep all of that in memory. */
import { holdMessages } from "./thread_inbox.ts";
import { runThread } from "./threads.ts";

if (import.meta.main) {
  const release = holdMessages(globalThis);
  await runThread(self.name);
  release();
}
