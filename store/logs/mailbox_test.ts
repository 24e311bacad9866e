import { assert, assertEquals, assertFalse } from "@std/assert";
import * as fc from "fast-check";
import type { LogAppend } from "../log.ts";
import { MailboxReceiver, MailboxSender } from "./mailbox.ts";

function append(records: readonly number[], removals: readonly number[] = []): LogAppend {
  const lengths = Uint32Array.from(records);
  const size = records.reduce((sum, length) => sum + length, 0);
  return {
    firstPosition: 2 ** 40 + 3,
    lengths,
    bytes: Uint8Array.from({ length: size }, (_, i) => i * 7 + size),
    removals: Float64Array.from(removals),
    head: Uint8Array.from({ length: 289 }, (_, i) => i),
  };
}

Deno.test("MailboxSender.send() hands over appends as they are and in order, again and again", () => {
  const sizes = fc.array(fc.nat(5000), { maxLength: 40 });
  const positions = fc.array(fc.nat(2 ** 31).map((n) => n * 1024), { maxLength: 40 });
  fc.assert(fc.property(fc.array(fc.tuple(sizes, positions), { maxLength: 20 }), (appends) => {
    const sender = new MailboxSender();
    const receiver = new MailboxReceiver(sender.memory);
    appends.forEach(([records, removals], id) => {
      const sent = append(records, removals);
      assert(sender.send(id, sent));
      assertEquals(receiver.next(), { id, append: sent });
    });
  }));
});

Deno.test("MailboxSender.send() refuses what has no room, and takes more once the worker took some", () => {
  const sender = new MailboxSender();
  const receiver = new MailboxReceiver(sender.memory);
  assertFalse(sender.send(1, append([1 << 20])));
  assert(sender.send(1, append([10])));
  assert(sender.send(2, append([20])));
  assertFalse(sender.send(3, append([30])));
  assertEquals(receiver.next()?.id, 1);
  assert(sender.send(3, append([30])));
  assertEquals([receiver.next()?.id, receiver.next()?.id], [2, 3]);
});

Deno.test("MailboxSender.send() leaves what is rare to a message", () => {
  const sender = new MailboxSender();
  const bytes = new Uint8Array(1);
  assertFalse(sender.send(1, { ...append([1]), keyring: bytes }));
  assertFalse(sender.send(1, { ...append([1]), checkpoint: [{ chunk: 1, bytes }] }));
  const replacements = {
    positions: new Float64Array(1),
    lengths: new Uint32Array(1),
    bytes,
  };
  assertFalse(sender.send(1, { ...append([1]), replacements }));
});

Deno.test("MailboxReceiver.next() answers undefined while a message waits, appends first", () => {
  const sender = new MailboxSender();
  const receiver = new MailboxReceiver(sender.memory);
  sender.announceMessage();
  assertEquals(receiver.next(), undefined);
  assert(sender.send(1, append([5])));
  assertEquals(receiver.next()?.id, 1);
  assertEquals(receiver.next(), undefined);
  receiver.messageReceived();
  assert(sender.send(2, append([6])));
  assertEquals(receiver.next()?.id, 2);
});
