/** What every durable log must do, run over each engine: see store/logs/logs_test.ts. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import type { Bytes } from "../../backends/mod.ts";
import { StoreError } from "../../store/errors.ts";
import type { DurableLog, LogAppend, LogPage } from "../../store/log.ts";

/** One medium that can be opened again and again. */
export interface LogMedium extends AsyncDisposable {
  open(): DurableLog;
}

const TAG = 16;

function record(seed: number, length: number): Bytes {
  return new Uint8Array(length).map((_, i) => (seed * 31 + i) & 0xff);
}

function append(
  firstPosition: number,
  records: readonly Bytes[],
  rest: Partial<Pick<LogAppend, "keyring" | "checkpoint">> & {
    removals?: readonly number[];
    head?: Bytes;
  } = {},
): LogAppend {
  const bytes = new Uint8Array(records.reduce((sum, one) => sum + one.length, 0));
  let offset = 0;
  for (const one of records) {
    bytes.set(one, offset);
    offset += one.length;
  }
  const { removals = [], head = record(99, 40), ...others } = rest;
  return {
    firstPosition,
    lengths: Uint32Array.from(records, (one) => one.length),
    bytes,
    removals: Float64Array.from(removals),
    head,
    ...others,
  };
}

async function contents(log: DurableLog, from = 0): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for await (const page of log.replay(from)) {
    let offset = 0;
    page.positions.forEach((position, i) => {
      const end = offset + page.lengths[i]!;
      found.set(position, page.bytes.subarray(offset, end).toHex());
      offset = end;
    });
    assertEquals(offset, page.bytes.length);
  }
  assertEquals([...found.keys()], [...found.keys()].sort((a, b) => a - b));
  return found;
}

export function durableLogSuite(name: string, makeMedium: () => Promise<LogMedium>): void {
  const test = (title: string, body: (medium: LogMedium) => Promise<void>) =>
    Deno.test(`DurableLog ${name}: ${title}`, async () => {
      await using medium = await makeMedium();
      await body(medium);
    });

  test("is empty at first, and stays so when only read", async (medium) => {
    for (let again = 0; again < 2; again++) {
      await using log = medium.open();
      assertEquals(await log.start(), { head: undefined, keyring: undefined, empty: true });
      assertEquals((await contents(log)).size, 0);
      assertEquals(await log.read([0, 7]), [undefined, undefined]);
      for await (const _ of log.checkpoint()) throw new Error("a chunk in an empty log");
      for await (const page of log.tags(0)) assertEquals(page.positions.length, 0);
    }
  });

  test("keeps records, head, keyring and checkpoint over a restart", async (medium) => {
    const records = [record(1, 100), record(2, 20_000), record(3, 16)];
    {
      await using log = medium.open();
      await log.append(append(5, records, {
        head: record(7, 50),
        keyring: record(8, 60),
        checkpoint: [{ chunk: 3, bytes: record(9, 500) }, { chunk: 1, bytes: record(10, 5) }],
      }));
      assertEquals(await log.read([6, 5, 4]), [records[1], records[0], undefined]);
    }
    await using log = medium.open();
    assertEquals(await log.start(), {
      head: record(7, 50),
      keyring: record(8, 60),
      empty: false,
    });
    assertEquals(
      await contents(log),
      new Map(records.map((one, i) => [5 + i, one.toHex()])),
    );
    assertEquals([...(await contents(log, 6)).keys()], [6, 7]);
    const chunks = await Array.fromAsync(log.checkpoint());
    assertEquals(chunks, [{ chunk: 1, bytes: record(10, 5) }, { chunk: 3, bytes: record(9, 500) }]);
    const tags = new Map<number, string>();
    for await (const page of log.tags(0)) {
      page.positions.forEach((position, i) =>
        tags.set(position, page.tags.subarray(i * TAG, (i + 1) * TAG).toHex())
      );
    }
    assertEquals(tags, new Map(records.map((one, i) => [5 + i, one.subarray(-TAG).toHex()])));
  });

  test("removes, leaves out and replaces in the same append", async (medium) => {
    await using log = medium.open();
    await log.append(append(0, [record(1, 30), record(2, 30)], {
      checkpoint: [{ chunk: 1, bytes: record(1, 5) }],
    }));
    await log.append(append(2, [new Uint8Array(0), record(4, 30)], {
      removals: [0],
      head: record(6, 44),
      checkpoint: [{ chunk: 1, bytes: undefined }],
    }));
    assertEquals([...(await contents(log)).keys()], [1, 3]);
    assertEquals((await log.start()).head, record(6, 44));
    for await (const _ of log.checkpoint()) throw new Error("the chunk was removed");
  });

  test("replaces records in their places, and refuses an empty place with all that goes with it", async (medium) => {
    const replacements = (...positions: number[]) => ({
      positions: Float64Array.from(positions),
      lengths: Uint32Array.from(positions, () => 40),
      bytes: new Uint8Array(positions.flatMap((at) => [...record(at + 50, 40)])),
    });
    {
      await using log = medium.open();
      await log.append(append(0, [record(1, 30), record(2, 30), record(3, 30)]));
      await log.append({
        ...append(3, [record(4, 30)], { removals: [1], head: record(6, 44) }),
        replacements: replacements(2, 0),
      });
      assertEquals(
        await log.read([0, 1, 2, 3]),
        [record(50, 40), undefined, record(52, 40), record(4, 30)],
      );
      const refused = await assertRejects(
        () =>
          log.append({
            ...append(4, [record(5, 30)], { head: record(7, 45) }),
            replacements: replacements(0, 1),
          }),
        StoreError,
      );
      assertEquals(refused.code, "record_missing");
    }
    await using log = medium.open();
    assertEquals((await log.start()).head, record(6, 44));
    assertEquals([...(await contents(log)).keys()], [0, 2, 3]);
    assertEquals(await log.read([0]), [record(50, 40)]);
  });

  test("appends take effect in call order and are seen once resolved", async (medium) => {
    await using log = medium.open();
    const appends = Array.from(
      { length: 20 },
      (_, i) => log.append(append(i, [record(i, 50)], { head: record(i, 33) })),
    );
    await Promise.all(appends);
    assertEquals((await contents(log)).size, 20);
    assertEquals((await log.start()).head, record(19, 33));
  });

  test("holds any history of appends", async (medium) => {
    let position = 0;
    const model = new Map<number, string>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length: fc.integer({ min: 17, max: 3000 }), remove: fc.nat(40) }), {
          maxLength: 12,
        }),
        fc.boolean(),
        async (steps, restart) => {
          let log = medium.open();
          for (const step of steps) {
            const removals = [...model.keys()].filter((_, i) => i === step.remove);
            const one = record(step.length, step.length);
            await log.append(append(position, [one], { removals }));
            for (const removed of removals) model.delete(removed);
            model.set(position++, one.toHex());
          }
          if (restart) {
            await log[Symbol.asyncDispose]();
            log = medium.open();
          }
          assertEquals(await contents(log), model);
          await log[Symbol.asyncDispose]();
        },
      ),
      { numRuns: 15 },
    );
  });

  test("copies itself while it is written to, as of the copy's last part", async (medium) => {
    await using log = medium.open();
    // Several parts: each page holds some of the records.
    const count = 700;
    let position = count;
    await log.append(append(
      0,
      Array.from({ length: count }, (_, i) => record(i, 4000)),
      { keyring: record(1, 40) },
    ));
    // What the log held under each head: the copy must be one of these, whole.
    const states = new Map([[record(99, 40).toHex(), await contents(log)]]);
    const copied = new Map<number, string>();
    let parts = 0;
    let end: { readonly head: Bytes | undefined; readonly keyring: Bytes | undefined } | undefined;
    const take = ({ positions, lengths, bytes }: LogPage, isNew: boolean) => {
      let offset = 0;
      positions.forEach((at, i) => {
        assertEquals(copied.has(at), !isNew);
        copied.set(at, bytes.subarray(offset, offset + lengths[i]!).toHex());
        offset += lengths[i]!;
      });
    };
    for await (const part of log.copy()) {
      assertEquals(end, undefined, "a part behind the last one");
      for (const removed of part.removals) {
        assert(copied.delete(removed), "never told, but removed");
      }
      take(part.changed, false);
      take(part.page, true);
      end = part.end;
      if (end !== undefined) break;
      parts++;
      // One that was told, one that was not, and the newest; one of each is replaced.
      const anew = [record(parts, 90), record(parts, 91)];
      await log.append({
        ...append(position, [record(position, 50), record(position, 60)], {
          removals: [parts, count - parts, position - 1],
          head: record(parts, 77),
          ...(parts === 1 ? { keyring: record(2, 41) } : {}),
        }),
        replacements: {
          positions: Float64Array.of(10 + parts, count - 10 - parts),
          lengths: Uint32Array.of(90, 91),
          bytes: new Uint8Array([...anew[0]!, ...anew[1]!]),
        },
      });
      states.set(record(parts, 77).toHex(), await contents(log));
      position += 2;
    }
    assert(parts > 1, "the copy had too few parts to be written to");
    assertEquals(end?.keyring, record(2, 41));
    assertEquals(copied, states.get(end!.head!.toHex()));
  });

  test("a copy that is given up leaves nothing behind, and several go side by side", async (medium) => {
    await using log = medium.open();
    await log.append(append(0, Array.from({ length: 600 }, (_, i) => record(i, 5000))));
    for await (const part of log.copy()) {
      assertEquals(part.end, undefined);
      break;
    }
    const positions = async () => {
      const found: number[] = [];
      for await (const part of log.copy()) found.push(...part.page.positions);
      return found;
    };
    const [one, other] = await Promise.all([positions(), positions()]);
    assertEquals(one, Array.from({ length: 600 }, (_, i) => i));
    assertEquals(other, one);
  });

  test("refuses everything once closed", async (medium) => {
    const log = medium.open();
    await log.append(append(0, [record(1, 30)]));
    await log[Symbol.asyncDispose]();
    await log[Symbol.asyncDispose]();
    const calls: (() => Promise<unknown>)[] = [
      () => log.start(),
      () => log.append(append(1, [record(1, 30)])),
      () => log.read([0]),
      () => log.size(),
      () => log.reclaim(),
      () => contents(log),
    ];
    for (const call of calls) {
      const error = await assertRejects(call, StoreError);
      assertEquals(error.code, "closed");
    }
    await using again = medium.open();
    assert((await contents(again)).size === 1);
  });
}
