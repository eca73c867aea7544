package callboard

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"github.com/google/jsonschema-go/jsonschema"
)

type question struct {
	Text    string        `json:"text" jsonschema:"what to look for"`
	Limit   *int          `json:"limit,omitempty"`
	Since   time.Time     `json:"since"`
	Exact   json.Number   `json:"exact"`
	Raw     *rawText      `json:"raw"`
	Image   []byte        `json:"image"`
	Address netip.Addr    `json:"address"`
	Any     any           `json:"any"`
	Left    chan struct{} `json:"-"`
	paging
}

type rawText = json.RawMessage

type paging struct {
	Page uint8 `json:"page"`
}

const questionSchema = `{"type":"object","properties":{` +
	`"text":{"type":"string","description":"what to look for"},` +
	`"limit":{"type":["null","integer"]},` +
	`"since":{"type":"string","format":"date-time"},` +
	`"exact":{"type":"number"},` +
	`"raw":{"type":["null","boolean","number","string","array","object"]},` +
	`"image":{"type":["null","string"],"contentEncoding":"base64"},` +
	`"address":{"type":"string"},` +
	`"any":true,` +
	`"page":{"type":"integer","minimum":0,"maximum":255}},` +
	`"required":["text","since","exact","raw","image","address","any","page"],"additionalProperties":false}`

type recursive struct{ Next *recursive }

type inString struct {
	Number int64 `json:"number,string"`
}

type embedsANamed struct {
	paging `json:"paging"`
}

type embedsNoStruct struct{ Words }

type Words []string

// crowd has a schema of hundreds of gigabytes.
type crowd struct {
	many[many[many[many[many[many[many[many[many[many[int]]]]]]]]]]
}

type many[T any] struct{ A, B, C, D, E, F, G, H *T }

// lists has one that is not much too large.
type lists struct {
	many[many[many[[][][][][][][][]string]]]
}

func TestTypesAreDescribed(t *testing.T) {
	for of, want := range map[reflect.Type]string{
		reflect.TypeFor[string]():              `{"type":"string"}`,
		reflect.TypeFor[int]():                 `{"type":"integer"}`,
		reflect.TypeFor[map[string][]string](): `{"type":"object","additionalProperties":{"type":["null","array"],"items":{"type":"string"}}}`,
		reflect.TypeFor[*paging]():             `{"type":"object","properties":{"page":{"type":"integer","minimum":0,"maximum":255}},"required":["page"],"additionalProperties":false}`,
		reflect.TypeFor[question]():            questionSchema,
	} {
		if got, err := describe(of); err != nil || got != want {
			t.Errorf("%v: %s %v", of, got, err)
		}
	}
}

func TestWhatEncodingJSONWritesFitsItsSchema(t *testing.T) {
	limit := 3
	raw := json.RawMessage(`{"a":[1]}`)
	for _, value := range []any{
		question{Exact: "1.5", Address: netip.MustParseAddr("::1")},
		question{Limit: &limit, Since: time.Now(), Exact: "1", Raw: &raw, Image: []byte{1}, Address: netip.IPv4Unspecified(), Any: 1},
		map[string]*big.Int{"a": big.NewInt(1)},
		[]netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8")},
		[]slog.Level{slog.LevelWarn},
		[2]byte{1, 2},
	} {
		text, err := describe(reflect.TypeOf(value))
		if err != nil {
			t.Fatalf("%T: %v", value, err)
		}
		var schema jsonschema.Schema
		if err := json.Unmarshal([]byte(text), &schema); err != nil {
			t.Fatal(err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var read any
		if err := json.Unmarshal(written, &read); err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(read); err != nil {
			t.Errorf("%T: %s does not fit %s: %v", value, written, text, err)
		}
	}
}

func TestTypesWithoutASchema(t *testing.T) {
	for of, reason := range map[reflect.Type]string{
		reflect.TypeFor[any]():                "anything",
		reflect.TypeFor[*any]():               "anything",
		reflect.TypeFor[*Payload]():           "anything",
		reflect.TypeFor[json.RawMessage]():    "anything",
		reflect.TypeFor[*big.Int]():           "anything",
		reflect.TypeFor[[]byte]():             "bytes",
		reflect.TypeFor[*[]byte]():            "bytes",
		reflect.TypeFor[recursive]():          "recursive",
		reflect.TypeFor[[]recursive]():        "recursive",
		reflect.TypeFor[inString]():           "JSON in a string",
		reflect.TypeFor[embedsANamed]():       "embeds",
		reflect.TypeFor[embedsNoStruct]():     "embeds",
		reflect.TypeFor[map[int]string]():     "map key",
		reflect.TypeFor[chan int]():           "unsupported",
		reflect.TypeFor[struct{ F func() }](): "unsupported",
		reflect.TypeFor[crowd]():              "64 KiB",
		reflect.TypeFor[lists]():              "64 KiB",
	} {
		if got, err := describe(of); err == nil || got != "" || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v: %s %v", of, got, err)
		}
	}
}

// registered makes an agent with one handler, and gives what it says of it, and what was logged.
func registered[In, Out any](t *testing.T, options *HandlerOptions) (said *callboardv1.TaskHandler, log string) {
	t.Helper()
	var logged bytes.Buffer
	agent, err := NewAgent(&AgentOptions{Logger: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	Handle(agent, "find", func(context.Context, In, *Context) (out Out, err error) { return }, options)
	if agent.mistake != nil {
		t.Error(agent.mistake)
	}
	return agent.profile().GetHandles()[0], logged.String()
}

func TestAHandlerHasTheSchemasOfItsTypes(t *testing.T) {
	said, log := registered[question, string](t, &HandlerOptions{Description: "finds"})
	if said.GetInputSchema() != questionSchema || said.GetOutputSchema() != `{"type":"string"}` || said.GetDescription() != "finds" || log != "" {
		t.Error(said, log)
	}
	given := &HandlerOptions{InputSchema: `{"type":"object"}`}
	said, _ = registered[question, int](t, given)
	if said.GetInputSchema() != given.InputSchema || said.GetOutputSchema() != `{"type":"integer"}` || given.OutputSchema != "" {
		t.Error("those that are given win:", said, given)
	}
	said, log = registered[any, recursive](t, nil)
	if said.GetInputSchema() != "" || said.GetOutputSchema() != "" || strings.Count(log, "level=DEBUG") != 2 || strings.Contains(log, "WARN") {
		t.Error(said, log)
	}
}

func TestASchemaThatIsTooLargeIsLeftOut(t *testing.T) {
	largest := `"` + strings.Repeat("x", maxSchema-2) + `"`
	said, log := registered[crowd, any](t, &HandlerOptions{OutputSchema: largest + " "})
	if said.GetInputSchema() != "" || said.GetOutputSchema() != "" || strings.Count(log, "level=WARN") != 2 || !strings.Contains(log, "task_type=find") {
		t.Error(said, log)
	}
	said, log = registered[any, any](t, &HandlerOptions{InputSchema: largest, OutputSchema: largest})
	if said.GetInputSchema() != largest || said.GetOutputSchema() != largest || log != "" {
		t.Error("as large as may be", log)
	}
	var logged bytes.Buffer
	handles := make([]*callboardv1.TaskHandler, maxSchemas/maxSchema+2)
	for at := range handles {
		handles[at] = &callboardv1.TaskHandler{InputSchema: largest}
	}
	leaveOutSchemas(handles, slog.New(slog.NewTextHandler(&logged, nil)))
	for at, handler := range handles {
		if (handler.GetInputSchema() == "") != (at >= maxSchemas/maxSchema) {
			t.Error("2 MiB in all:", at)
		}
	}
	if strings.Count(logged.String(), "level=WARN") != 2 {
		t.Error(logged.String())
	}
}
