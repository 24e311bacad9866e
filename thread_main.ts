/** What a Worker of the built file runs instead of main.ts: it would keep all of that in memory. */
import { runThread } from "./threads.ts";

if (import.meta.main) await runThread(self.name);
