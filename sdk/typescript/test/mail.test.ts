// Messages in the session: handled in order, acknowledged, tried again; sent until there is a receipt.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { InvalidArgument, NotFound } from "../src/errors.js";
import { ErrorReason, MessageReceiptBatchSchema, MessageReceiptSchema } from "../src/v1.js";
import { FEATURES, Script, the } from "./support/script.js";

const WITH_MESSAGES = [...FEATURES, "messages"];

/** A script of an agent that takes messages. */
class MailScript extends Script {
  constructor() {
    super({ takesMessages: true });
  }

  deliver(...messages: readonly [id: string, agent: string][]): void {
    this.receive({ case: "messages", value: { messages: messages.map(([id, agent]) => ({ id, agent })) } });
  }

  handled(id: string, ok = true): boolean {
    return this.session.handled(this.now, id, ok);
  }

  receipts(value: MessageInitShape<typeof MessageReceiptBatchSchema>): void {
    this.receive({ case: "messageReceipts", value: create(MessageReceiptBatchSchema, value) });
  }

  handling(): string[] {
    return this.only("handle").map((action) => action.message.id);
  }

  /** What the session says now, in short. */
  lines(): string[] {
    return this.frames().map((frame) => {
      if (frame.case === "acknowledgements") {
        return ["ack", ...frame.value.messageIds].join(" ");
      }
      if (frame.case === "messages") {
        return ["send", ...frame.value.messages.map((send) => send.requestId)].join(" ");
      }
      return frame.case ?? "";
    });
  }
}

function attached(): MailScript {
  const s = new MailScript();
  assert.ok(s.attach({ features: WITH_MESSAGES }).features.includes("messages"));
  s.actions();
  return s;
}

const receipt = create(MessageReceiptSchema, { messageId: "m1", sequence: 1n });

test("messages are handled one after the other and acknowledged", () => {
  const s = attached();
  s.deliver(["m1", "ann"], ["m2", "bob"]);
  assert.deepEqual([s.handling(), s.lines()], [["m1"], []]);
  s.handled("m1");
  assert.deepEqual([s.handling(), s.lines()], [["m2"], ["ack m1"]]);
  s.deliver(["m1", "ann"], ["m2", "bob"]);
  assert.deepEqual([s.handling(), s.lines()], [[], ["ack m1"]]);
  s.receipts({ acknowledgedIds: ["m1"] });
  s.handled("m2");
  assert.deepEqual(s.lines(), ["ack m2"]);
});

test("an acknowledgement that the server could not take is repeated after a while", () => {
  const s = attached();
  s.deliver(["m1", "ann"]);
  s.handled("m1");
  assert.deepEqual(s.lines(), ["ack m1"]);
  s.receipts({ retryIds: ["m1"] });
  assert.deepEqual(s.lines(), []);
  assert.equal(s.session.sendAt(), s.now + 100);
  s.later(100);
  assert.deepEqual(s.lines(), ["ack m1"]);
});

test("what has no receipt is said again on the next stream", () => {
  const s = attached();
  s.deliver(["m1", "ann"], ["m2", "ann"]);
  s.handled("m1");
  s.send("r1", 1);
  assert.deepEqual(s.lines(), ["ack m1", "send r1"]);
  s.drop();
  s.attach({ features: WITH_MESSAGES, epoch: 2n });
  assert.deepEqual(s.lines(), ["ack m1", "send r1"]);
  s.actions();
  s.deliver(["m1", "ann"], ["m2", "ann"], ["m3", "ann"]);
  s.handled("m2");
  assert.deepEqual(s.handling(), ["m3"]);
});

test("a message that failed comes again, and holds up its own sender only", () => {
  const s = attached();
  s.deliver(["m1", "ann"], ["m2", "ann"], ["m3", "bob"]);
  s.actions();
  s.handled("m1", false);
  assert.deepEqual(s.handling(), ["m3"]);
  s.handled("m3");
  assert.deepEqual(s.handling(), []);
  assert.ok(the(s.session.tickAt()) <= s.now + 1_000);
  s.later(1_000);
  assert.deepEqual(s.handling(), ["m1"]);
  s.handled("m1");
  assert.deepEqual(s.handling(), ["m2"]);
});

test("a message that keeps failing is given up", () => {
  const s = attached();
  s.deliver(["m1", "ann"], ["m2", "ann"]);
  for (const delay of [1_000, 2_000, 4_000, 8_000]) {
    assert.deepEqual(s.handling(), ["m1"]);
    assert.ok(s.handled("m1", false));
    s.heartbeat();
    s.later(delay);
  }
  assert.deepEqual(s.handling(), ["m1"]);
  assert.ok(!s.handled("m1", false));
  assert.deepEqual(s.handling(), ["m2"]);
  assert.ok(s.lines().includes("ack m1"));
});

test("a message is sent until its receipt says what became of it", () => {
  const s = attached();
  s.send("r1", 1);
  s.send("r2", 2);
  assert.deepEqual(s.lines(), ["send r1 r2"]);
  s.receipts({ sent: [{ requestId: "r1", retry: true }] });
  assert.deepEqual(s.lines(), []);
  s.now = the(s.session.sendAt());
  assert.deepEqual(s.lines(), ["send r1"]);
  const sent = { requestId: "r1", message: receipt };
  s.receipts({ sent: [sent, sent] });
  s.receipts({ sent: [{ requestId: "r2", reason: ErrorReason.AGENT_NOT_FOUND }] });
  const [first, second, ...more] = s.only("sendSettled");
  assert.deepEqual([first?.ticket, first?.outcome, second?.ticket, more], [1, receipt, 2, []]);
  assert.ok(second?.outcome instanceof NotFound);
});

test("at most 64 messages are on their way", () => {
  const s = attached();
  for (let number = 0; number < 66; number += 1) {
    s.send(`r${String(number)}`, number);
  }
  const [line, ...more] = s.lines();
  assert.deepEqual([line?.split(" ").length, more], [65, []]);
  assert.notEqual(s.session.sendAt(), s.now);
  s.receipts({ sent: [{ requestId: "r7", message: receipt }] });
  assert.deepEqual(s.lines(), ["send r64"]);
  s.drop();
  s.attach({ features: WITH_MESSAGES, epoch: 2n });
  const again = s.lines()[0]?.split(" ");
  assert.ok(again?.length === 65 && !again.includes("r7"));
});

test("two messages under one request id get an answer each", () => {
  const s = attached();
  s.send("r1", 1);
  s.send("r1", 2);
  assert.deepEqual(s.lines(), ["send r1 r1"]);
  const reused = { requestId: "r1", reason: ErrorReason.REQUEST_ID_REUSED };
  s.receipts({ sent: [{ requestId: "r1", message: receipt }, reused] });
  const [first, second] = s.only("sendSettled");
  assert.deepEqual([first?.ticket, first?.outcome, second?.ticket], [1, receipt, 2]);
  assert.ok(second?.outcome instanceof InvalidArgument);
});

test("a server without messages is sent none", () => {
  const s = new MailScript();
  s.session.start(s.now);
  s.send("r1", 1);
  s.attach({ features: FEATURES });
  s.send("r2", 2);
  assert.deepEqual(
    s
      .only("sendSettled")
      .map((action) => action.ticket)
      .sort(),
    [1, 2],
  );
  assert.deepEqual(s.lines(), []);
});

test("a drain waits for the message at work, and begins no other", () => {
  const s = attached();
  s.deliver(["m1", "ann"], ["m2", "ann"]);
  s.actions();
  s.session.drain(s.now);
  assert.deepEqual(s.lines(), ["slots"]);
  s.handled("m1");
  assert.deepEqual([s.handling(), s.lines()], [[], ["ack m1"]]);
  s.receipts({ acknowledgedIds: ["m1"] });
  assert.deepEqual(s.lines(), ["drain"]);
  assert.equal(s.only("end").length, 1);
});

test("a drain whose time is over stops the message at work", () => {
  const s = attached();
  s.deliver(["m1", "ann"]);
  s.actions();
  s.session.drain(s.now, 1_000);
  s.later(1_000);
  assert.equal(s.only("stopHandling").length, 1);
  s.handled("m1", false);
  assert.ok(!s.lines().some((line) => line.startsWith("ack")));
});
