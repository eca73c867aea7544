package callboard

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

type point struct {
	X int   `json:"x"`
	Y []int `json:"y"`
}

type mood string

type loop struct{ Next *loop }

func TestEncode(t *testing.T) {
	word := "word"
	for _, one := range []struct {
		value             any
		kind, text, bytes string
	}{
		{"", typeText, "", ""},
		{"Grüße\x00", typeText, "Grüße\x00", ""},
		{mood("fine"), typeText, "fine", ""},
		{&word, typeText, "word", ""},
		{[]byte{}, typeBinary, "", ""},
		{[]byte("\xff\x00"), typeBinary, "", "\xff\x00"},
		{nil, typeJSON, "null", ""},
		{(*string)(nil), typeJSON, "null", ""},
		{true, typeJSON, "true", ""},
		{uint64(math.MaxUint64), typeJSON, "18446744073709551615", ""},
		{json.Number("1180591620717411303424.50"), typeJSON, "1180591620717411303424.50", ""},
		{json.RawMessage(`{"a":1.10}`), typeJSON, `{"a":1.10}`, ""},
		{map[string]any{"a": []any{1, "ü <&>\ufffd", nil}}, typeJSON, `{"a":[1,"ü <&>` + "\ufffd" + `",null]}`, ""},
		{point{1, []int{2}}, typeJSON, `{"x":1,"y":[2]}`, ""},
		{&point{1, nil}, typeJSON, `{"x":1,"y":null}`, ""},
		{time.Unix(0, 0).UTC(), typeJSON, `"1970-01-01T00:00:00Z"`, ""},
	} {
		payload, err := Encode(one.value)
		if err != nil || payload.GetContentType() != one.kind || payload.GetText() != one.text || string(payload.GetBinary()) != one.bytes {
			t.Errorf("%#v became %v, %v", one.value, payload, err)
		}
		if payload.GetContent() == nil {
			t.Errorf("%#v has no content", one.value)
		}
	}
}

func TestValuesThatAreNoPayloadsAreRefusedByField(t *testing.T) {
	endless := &loop{}
	endless.Next = endless
	for _, value := range []any{
		math.NaN(), []float64{math.Inf(1)}, make(chan int), func() {}, "\xff", map[string]any{"a": "\xff"}, []mood{"\xff"},
		map[string]int{"\xff": 1}, endless, Text("\xff", typeText),
	} {
		_, err := encode(value, "result")
		var refused *Error
		if !errors.As(err, &refused) || !errors.Is(err, ErrInvalidArgument) || refused.Reason != "INVALID_FIELD" || refused.Violations[0].Field != "result" {
			t.Errorf("%T: %v", value, err)
		}
	}
}

func TestTheLimitCountsBytes(t *testing.T) {
	for _, value := range []any{strings.Repeat("ü", MaxPayload/2), make([]byte, MaxPayload)} {
		if _, err := Encode(value); err != nil {
			t.Error(err)
		}
	}
	own := Binary(make([]byte, MaxPayload+1), "x/y")
	for _, value := range []any{strings.Repeat("ü", MaxPayload/2) + "x", make([]byte, MaxPayload+1), own} {
		var refused *Error
		if _, err := Encode(value); !errors.As(err, &refused) || refused.Reason != "PAYLOAD_TOO_LARGE" {
			t.Error(err)
		}
	}
}

func TestPayloadsGoAsTheyAre(t *testing.T) {
	payload := Text("<a/>", "text/xml")
	if got, err := Encode(payload); err != nil || got != payload {
		t.Error(got, err)
	}
	if got, err := Decode[*Payload](payload); err != nil || got != payload {
		t.Error(got, err)
	}
}

func roundTrip[T any](t *testing.T, value T, same func(a, b T) bool) {
	t.Helper()
	payload, err := Encode(value)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	var came Payload
	if err := proto.Unmarshal(wire, &came); err != nil {
		t.Fatal(err)
	}
	again, err := Decode[T](&came)
	if err != nil || !same(again, value) {
		t.Errorf("%#v came back as %#v, %v", value, again, err)
	}
}

func TestRoundTrips(t *testing.T) {
	equal := func(a, b any) bool { return a == b }
	for _, value := range []any{"", "text", json.Number("1180591620717411303424"), nil, true} {
		roundTrip(t, value, equal)
	}
	roundTrip(t, "Grüße\x00", func(a, b string) bool { return a == b })
	roundTrip(t, mood("fine"), func(a, b mood) bool { return a == b })
	roundTrip(t, []byte("\x00\xff"), func(a, b []byte) bool { return string(a) == string(b) })
	roundTrip(t, int64(math.MinInt64), func(a, b int64) bool { return a == b })
	roundTrip(t, struct{}{}, func(a, b struct{}) bool { return true })
	roundTrip(t, point{1, []int{2}}, func(a, b point) bool { return a.X == b.X && len(a.Y) == len(b.Y) })
	roundTrip(t, json.RawMessage(`{"a":1.10}`), func(a, b json.RawMessage) bool { return string(a) == string(b) })
	now := time.Now().UTC().Round(0)
	roundTrip(t, now, func(a, b time.Time) bool { return a.Equal(b) })
}

func decodes[T comparable](t *testing.T, payload *Payload, want T) {
	t.Helper()
	if got, err := Decode[T](payload); err != nil || got != want {
		t.Errorf("%v: %#v, %v", payload, got, err)
	}
}

func TestDecode(t *testing.T) {
	decodes(t, nil, "")
	decodes(t, nil, struct{}{})
	decodes(t, &Payload{}, "")
	decodes(t, &Payload{ContentType: typeJSON}, "")
	decodes[any](t, Text("a", ""), "a")
	decodes(t, Text("a,b", "text/csv"), "a,b")
	decodes(t, Binary([]byte("ü"), "text/plain"), "ü")
	decodes(t, Binary([]byte("\xfc"), "text/plain; charset=latin-1"), "ü")
	decodes(t, Binary([]byte("a\xff"), "text/plain; charset=nonsense"), "a\ufffd")
	decodes(t, Text("1", "Application/JSON; charset=utf-8"), 1)
	decodes(t, Binary([]byte("1"), typeJSON), 1)
	decodes(t, Text(`"x"`, "application/problem+json"), "x")
	decodes(t, Text("<a/>", "application/xml"), "<a/>")
	if got, err := Decode[any](Binary([]byte{0x89}, "image/png")); err != nil || string(got.([]byte)) != "\x89" {
		t.Error(got, err)
	}
	if got, err := Decode[any](Binary([]byte{0x89}, "")); err != nil || string(got.([]byte)) != "\x89" {
		t.Error(got, err)
	}
	if got, err := Decode[map[string]any](Text(`{"n":12345678901234567890.10}`, typeJSON)); err != nil || got["n"] != json.Number("12345678901234567890.10") {
		t.Error("no digit is lost:", got, err)
	}
}

func TestWhatCanNotBeReadSaysWhatAndAsWhat(t *testing.T) {
	broken := Text("{", typeJSON)
	for _, err := range []error{
		second(Decode[any](broken)),
		second(Decode[any](Text("", typeJSON))),
		second(Decode[any](Text("1 2", typeJSON))),
		second(Decode[point](Text(`{"x":"no"}`, typeJSON))),
		second(Decode[point](Text("text", ""))),
		second(Decode[int](Text("1", ""))),
		second(Decode[json.RawMessage](Text("text", ""))),
		second(Decode[struct{}](Text("x", ""))),
		second(Decode[string](Binary([]byte("x"), "image/png"))),
		second(Decode[json.RawMessage](Binary([]byte("x"), "image/png"))),
	} {
		var failed *DecodeError
		if !errors.As(err, &failed) || failed.Unwrap() == nil || !strings.Contains(err.Error(), "can't be read as "+failed.Type) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
