package callboard

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"github.com/google/jsonschema-go/jsonschema"
)

const (
	// maxSchema is the most bytes of a schema.
	maxSchema = 64 << 10
	// maxSchemas is the most bytes of all schemas of an agent.
	maxSchemas = 2 << 20
)

// The least bytes of what schemas consist of.
const (
	leastOfAny    = len(`true`)
	leastOfValue  = len(`{"type":"string"}`)
	leastOfList   = len(`{"type":"array","items":}`)
	leastOfMap    = len(`{"type":"object","additionalProperties":}`)
	leastOfStruct = len(`{"type":"object","properties":{},"additionalProperties":false}`)
	leastOfField  = len(`"x":,`)
)

var errLargeSchema = errors.New("it has more than 64 KiB")

// schemaOf gives the schema that is given, else the type's; nothing when there is none, or it is too large.
func schemaOf(t reflect.Type, given string, log *slog.Logger) string {
	schema, err := given, error(nil)
	if given == "" {
		schema, err = describe(t)
	}
	if len(schema) > maxSchema {
		err = errLargeSchema
	}
	switch {
	case err == nil:
		return schema
	case errors.Is(err, errLargeSchema):
		log.Warn("a handler's schema is left out", "go_type", t.String(), "reason", err)
	default:
		log.Debug("a handler's type has no schema", "go_type", t.String(), "reason", err)
	}
	return ""
}

// leaveOutSchemas takes away the schemas that are more than an agent may have in all: those of the handlers that came last.
func leaveOutSchemas(handles []*callboardv1.TaskHandler, log *slog.Logger) {
	room := maxSchemas
	for _, handler := range handles {
		size := len(handler.GetInputSchema()) + len(handler.GetOutputSchema())
		if size > room {
			log.Warn("the schemas of a handler are left out: the agent's have more than 2 MiB", "task_type", handler.GetType())
			handler.InputSchema, handler.OutputSchema = "", ""
			continue
		}
		room -= size
	}
}

// describe gives the JSON Schema of what [Decode] takes as a type, and [Encode] makes of it.
func describe(t reflect.Type) (string, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	own := ownSchema(t)
	switch {
	case own != nil && own.ContentEncoding != "":
		return "", errors.New("bytes are not JSON")
	case t == reflect.TypeFor[Payload](), t.Kind() == reflect.Interface, own != nil && own.Types != nil:
		return "", errors.New("it may be anything")
	}
	d := describer{own: map[reflect.Type]*jsonschema.Schema{}, least: map[reflect.Type]int{}}
	if _, err := d.visit(t); err != nil {
		return "", err
	}
	schema, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: d.own})
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(schema)
	return string(text), err
}

// describer looks through a type for what the library has to be told, and for what it would describe otherwise than encoding/json
// writes it: no schema is better than a wrong one.
type describer struct {
	// own are the schemas of types that write themselves in another way than their kind does.
	own map[reflect.Type]*jsonschema.Schema
	// least is how many bytes the schema of a type has at least; 0 of one that is being looked through. The library repeats the schema of
	// a type wherever it stands, so that a few lines of Go may have gigabytes.
	least map[reflect.Type]int
}

// visit gives how many bytes the schema of a type has at least.
func (d *describer) visit(t reflect.Type) (int, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if least, known := d.least[t]; known {
		if least == 0 {
			return 0, fmt.Errorf("%v is recursive", t)
		}
		return least, nil
	}
	d.least[t] = 0
	least, err := d.look(t)
	d.least[t] = least
	if err == nil && least > maxSchema {
		err = errLargeSchema
	}
	return least, err
}

func (d *describer) look(t reflect.Type) (int, error) {
	if own := ownSchema(t); own != nil {
		d.own[t] = own
		return leastOfValue, nil
	}
	switch t.Kind() {
	case reflect.Interface:
		return leastOfAny, nil
	case reflect.Slice, reflect.Array:
		least, err := d.visit(t.Elem())
		return leastOfList + least, err
	case reflect.Map:
		least, err := d.visit(t.Elem())
		return leastOfMap + least, err
	case reflect.Struct:
		return d.lookAtStruct(t)
	}
	return leastOfValue, nil
}

func (d *describer) lookAtStruct(t reflect.Type) (int, error) {
	least := leastOfStruct
	for _, field := range reflect.VisibleFields(t) {
		tag := field.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case field.Anonymous:
			// The library takes each for a struct whose fields are this one's.
			if name != "" || !isStruct(field.Type) {
				return 0, fmt.Errorf("%v embeds %s, which is not a struct or has a name", t, field.Name)
			}
			continue
		case !field.IsExported(), tag == "-":
			continue
		case slices.Contains(strings.Split(options, ","), "string"):
			return 0, fmt.Errorf("%v.%s is JSON in a string", t, field.Name)
		}
		of, err := d.visit(field.Type)
		if err != nil {
			return 0, err
		}
		least += leastOfField + of
	}
	return least, nil
}

// ownSchema gives the schema of a type that encoding/json doesn't write as its kind says; nil when it does. When only the type itself
// knows, that is anything.
func ownSchema(t reflect.Type) *jsonschema.Schema {
	either := func(method reflect.Type) bool { return t.Implements(method) || reflect.PointerTo(t).Implements(method) }
	switch {
	case t.Kind() == reflect.Interface:
		return nil
	case t == reflect.TypeFor[time.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case t == reflect.TypeFor[json.Number]():
		return &jsonschema.Schema{Type: "number"}
	case either(reflect.TypeFor[json.Marshaler]()), either(reflect.TypeFor[json.Unmarshaler]()):
		return anything()
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) && either(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return &jsonschema.Schema{Type: "string"}
	case either(reflect.TypeFor[encoding.TextMarshaler]()), either(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return anything()
	case isBytes(t):
		return &jsonschema.Schema{Types: []string{"null", "string"}, ContentEncoding: "base64"}
	}
	return nil
}

// anything names all types: of a pointer to what has an empty schema the library says that it is null.
func anything() *jsonschema.Schema {
	return &jsonschema.Schema{Types: []string{"null", "boolean", "number", "string", "array", "object"}}
}

func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && ownSchema(t.Elem()) == nil
}

func isStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
}
