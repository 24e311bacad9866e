/** Reads every record of the log and authenticates it: what a checkpoint saves at opening. */
import { release } from "./bytes.ts";
import type { DurableLog } from "./log.ts";
import type { RecordSealer } from "./record_sealer.ts";

/**
 * @param stopped asked between pages; true ends the reading early @returns records read
 * @throws {StoreError} `record_altered`, `foreign_record`, `format`, `io`
 */
export async function verifyRecords(
  log: DurableLog,
  sealer: RecordSealer,
  stopped: () => boolean = () => false,
): Promise<number> {
  let records = 0;
  for await (const page of log.replay(0)) {
    if (stopped()) break;
    let offset = 0;
    const waiting: Promise<unknown>[] = [];
    for (let i = 0; i < page.positions.length; i++) {
      const length = page.lengths[i]!;
      const record = page.bytes.subarray(offset, offset + length);
      offset += length;
      const position = page.positions[i]!;
      const header = sealer.readHeader(record, position);
      const opened = sealer.open(record, header, position);
      if (opened instanceof Promise) waiting.push(opened.then(release));
      else release(opened);
      records++;
    }
    await Promise.all(waiting);
    release(page.bytes);
  }
  return records;
}
