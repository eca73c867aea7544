// Values to payloads and back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

import { binaryPayload, decode, encode, InvalidArgument, MAX_CONTENT, textPayload } from "../src/index.js";
import { parseJson, stringifyJson } from "../src/json.js";
import { PayloadSchema } from "../src/v1.js";

const JSON_TYPE = "application/json";

test("values have their content types", () => {
  const cases: readonly [value: unknown, contentType: string, content: string | Uint8Array][] = [
    ["", "text/plain", ""],
    ["Grüße\0", "text/plain", "Grüße\0"],
    [new Uint8Array(), "application/octet-stream", new Uint8Array()],
    [Buffer.from([255, 0]), "application/octet-stream", Buffer.from([255, 0])],
    [new Uint8Array([1]).buffer, "application/octet-stream", new Uint8Array([1])],
    [null, JSON_TYPE, "null"],
    [undefined, JSON_TYPE, "null"],
    [true, JSON_TYPE, "true"],
    [2n ** 70n, JSON_TYPE, "1180591620717411303424"],
    [{ a: [1, "ü", null], b: undefined }, JSON_TYPE, '{"a":[1,"ü",null]}'],
    [[undefined, -0, 1e21], JSON_TYPE, "[null,-0,1e+21]"],
    [new Date(0), JSON_TYPE, '"1970-01-01T00:00:00.000Z"'],
  ];
  for (const [value, contentType, content] of cases) {
    const payload = encode(value, "input");
    assert.deepEqual([payload.contentType, payload.content.value], [contentType, content]);
  }
});

test("values come back as they went", () => {
  const deep = { a: { b: [1, -2.5, 1e300, 9007199254740993n, -(2n ** 64n)], "": '"\\,]}12345678901234567890' } };
  for (const value of ["", "text", new Uint8Array([0, 255]), null, 1.5, 2n ** 70n, [], {}, [[]], deep]) {
    const payload = fromBinary(PayloadSchema, toBinary(PayloadSchema, encode(value, "input")));
    assert.deepEqual(decode(payload), value);
  }
});

test("only integers that a number can't hold are bigints", () => {
  assert.deepEqual(parseJson(" [9007199254740991 , 9007199254740992,-9007199254740993, 1234567890123456789.5,1e20]"), [
    9007199254740991,
    9007199254740992n,
    -9007199254740993n,
    1234567890123456789.5,
    1e20,
  ]);
  const strange = parseJson('{"__proto__": 12345678901234567890, "a" : {} , "\\u0061": "\\\\"}') as object;
  assert.deepEqual(Object.entries(strange), [
    ["__proto__", 12345678901234567890n],
    ["a", "\\"],
  ]);
  assert.equal(Object.getPrototypeOf(strange), Object.prototype);
  for (const text of ["", "{", "[1,]", "01", "12345678901234567890x", "[12345678901234567890"]) {
    assert.throws(() => parseJson(text), SyntaxError);
  }
});

test("what JSON has no words for is refused, and the place is named", () => {
  const loop: unknown[] = [];
  loop.push(loop);
  const cases: readonly [unknown, RegExp][] = [
    [NaN, /NaN/],
    [[Infinity], /\[0\] is Infinity/],
    [new Set([1]), /Set/],
    [{ a: new Map() }, /\.a is a Map/],
    [{ a: { b: () => 1 } }, /\.a\.b is a function/],
    ["\ud800", /Unicode/],
    [{ a: "\udfff" }, /\.a is not valid Unicode/],
    [{ a: new Uint8Array(1) }, /Uint8Array/],
    [[new ArrayBuffer(1)], /\[0\] is a ArrayBuffer/],
    [Symbol("s"), /symbol/],
    [loop, /contains itself/],
  ];
  for (const [value, why] of cases) {
    assert.throws(
      () => encode(value, "result"),
      (error) =>
        error instanceof InvalidArgument &&
        error.reason === "INVALID_FIELD" &&
        error.violations[0]?.field === "result" &&
        error.message.startsWith("result is not") &&
        why.test(error.message),
      String(why),
    );
  }
  const twice = { a: 1 };
  assert.equal(stringifyJson([twice, twice]), '[{"a":1},{"a":1}]');
});

test("the limit counts bytes", () => {
  const large = { reason: "PAYLOAD_TOO_LARGE" };
  encode("ü".repeat(MAX_CONTENT / 2), "input");
  assert.throws(() => encode("ü".repeat(MAX_CONTENT / 2) + "x", "input"), large);
  encode(new Uint8Array(MAX_CONTENT), "input");
  assert.throws(() => encode(binaryPayload(new Uint8Array(MAX_CONTENT + 1)), "input"), large);
});

test("payloads go as they are", () => {
  const payload = textPayload("<a/>", { contentType: "text/xml", metadata: { k: "v" } });
  assert.equal(encode(payload, "input"), payload);
});

test("payloads are read by their types", () => {
  const text = (value: string): { case: "text"; value: string } => ({ case: "text", value });
  const binary = (bytes: Uint8Array): { case: "binary"; value: Uint8Array } => ({ case: "binary", value: bytes });
  const cases: readonly [MessageInitShape<typeof PayloadSchema>, unknown][] = [
    [{}, ""],
    [{ contentType: JSON_TYPE }, ""],
    [{ content: text("a") }, "a"],
    [{ content: binary(new Uint8Array([97])) }, new Uint8Array([97])],
    [{ contentType: "text/csv", content: text("a,b") }, "a,b"],
    [{ contentType: "text/plain", content: binary(Buffer.from("ü")) }, "ü"],
    [{ contentType: "text/plain; charset=latin1", content: binary(new Uint8Array([0xfc])) }, "ü"],
    [{ contentType: "text/plain; charset=nonsense", content: binary(new Uint8Array([97])) }, "a"],
    [{ contentType: "Application/JSON; charset=utf-8", content: text("[1]") }, [1]],
    [{ contentType: "application/problem+json", content: text('{"a":1}') }, { a: 1 }],
    [{ contentType: JSON_TYPE, content: binary(Buffer.from("[1]")) }, [1]],
    [{ contentType: "application/xml", content: text("<a/>") }, "<a/>"],
    [{ contentType: "image/png", content: binary(new Uint8Array([0x89])) }, new Uint8Array([0x89])],
  ];
  for (const [payload, value] of cases) {
    assert.deepEqual(decode(create(PayloadSchema, payload)), value);
  }
  assert.throws(() => decode(textPayload("{", { contentType: JSON_TYPE })), SyntaxError);
});
