/** An entry that is only the log's worker, for tests and benchmarks run from source. */
import { runSqliteWorker } from "./sqlite_worker.ts";

runSqliteWorker();
