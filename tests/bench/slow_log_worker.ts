/** The log's worker on a disk that takes 50 ms for every commit. */
import { DatabaseSync } from "node:sqlite";
import { runSqliteWorker } from "../../store/mod.ts";

const COMMIT_MS = 50;

const exec = DatabaseSync.prototype.exec;
DatabaseSync.prototype.exec = function (sql: string): void {
  if (sql === "COMMIT") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, COMMIT_MS);
  exec.call(this, sql);
};
runSqliteWorker();
