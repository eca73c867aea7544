package callboard

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"callboard.dev/sdk/go/callboardv1"
)

// DecodeError is why a payload can't be read as what was asked for.
type DecodeError struct {
	// Kind is what the payload is: text, JSON or binary.
	Kind string
	// Type is what it was to become.
	Type string
	// Step says which step's result it is: "fetch" (occurrence 0). Empty when it is no step's.
	Step string
	// Err is what is wrong.
	Err error
}

// Error says what can't be read as what, and why.
func (e *DecodeError) Error() string {
	text := fmt.Sprintf("%s can't be read as %s: %v", e.Kind, e.Type, e.Err)
	if e.Step != "" {
		return "step " + e.Step + ": " + text
	}
	return text
}

// Unwrap gives what is wrong.
func (e *DecodeError) Unwrap() error {
	return e.Err
}

// Decode reads a payload as a T. text/* is a string, JSON (application/json and +json) is parsed as encoding/json does, anything else
// is bytes, or a string when it came as text. A payload that is nil or has no content is the empty string.
//
// T may be any: then it becomes a string, []byte, or what encoding/json makes of JSON, with numbers as [json.Number], so that none
// loses a digit. T may be [*Payload]: that is as it came. Text also becomes what has the kind of a string, what reads text
// ([encoding.TextUnmarshaler]), []byte, and, when it is empty, struct{}. [json.RawMessage] takes JSON as it came.
//
// The error is a [*DecodeError].
func Decode[T any](payload *Payload) (T, error) {
	var value T
	if as, ok := any(&value).(**Payload); ok {
		*as = payload
		if payload == nil {
			*as = &Payload{}
		}
		return value, nil
	}
	kind := kindOf(payload)
	if err := kind.read(payload, &value); err != nil {
		var zero T
		return zero, &DecodeError{Kind: string(kind), Type: typeName(reflect.TypeFor[T]()), Err: err}
	}
	return value, nil
}

// payloadKind is how a payload is to be read.
type payloadKind string

const (
	kindText   payloadKind = "text"
	kindJSON   payloadKind = "JSON"
	kindBinary payloadKind = "binary"
)

func kindOf(payload *Payload) payloadKind {
	binary, isBinary := payload.GetContent().(*callboardv1.Payload_Binary)
	isBinary = isBinary && binary != nil
	if payload.GetContent() == nil {
		return kindText
	}
	mediaType, _, _ := strings.Cut(payload.GetContentType(), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch {
	case mediaType == typeJSON || strings.HasSuffix(mediaType, "+json"):
		return kindJSON
	case !isBinary || strings.HasPrefix(mediaType, "text/"):
		return kindText
	}
	return kindBinary
}

// read fills what the target points to.
func (k payloadKind) read(payload *Payload, target any) error {
	switch k {
	case kindJSON:
		content := payload.GetBinary()
		if text, ok := payload.GetContent().(*callboardv1.Payload_Text); ok {
			content = []byte(text.Text)
		}
		return readJSON(content, target)
	case kindBinary:
		return readBinary(payload.GetBinary(), reflect.ValueOf(target).Elem())
	}
	text := payload.GetText()
	if content := payload.GetBinary(); content != nil {
		text = textOf(content, payload.GetContentType())
	}
	// What most take, without looking at its type.
	switch target := target.(type) {
	case *any:
		*target = text
		return nil
	case *string:
		*target = text
		return nil
	}
	return readText(text, reflect.ValueOf(target).Elem())
}

// shortJSON is up to how many bytes JSON is looked at before it is read, to save a decoder.
const shortJSON = 4 << 10

func readJSON(content []byte, target any) error {
	if value, isAny := target.(*any); isAny && len(content) <= shortJSON && json.Valid(content) {
		if scalar, is := readScalar(bytes.TrimSpace(content)); is {
			*value = scalar
			return nil
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(target); err != nil {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is more behind the value, at byte %d", decoder.InputOffset())
	}
	return nil
}

// readScalar gives null, a truth value or a number that is valid JSON, as encoding/json does with numbers as they are.
func readScalar(text []byte) (value any, is bool) {
	switch text[0] {
	case 'n':
		return nil, true
	case 't', 'f':
		return text[0] == 't', true
	case '"', '{', '[':
		return nil, false
	}
	return json.Number(text), true
}

func readText(text string, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return readText(text, into.Elem())
	}
	if reader, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return reader.UnmarshalText([]byte(text))
	}
	switch {
	case into.Type() == reflect.TypeFor[json.RawMessage]() || into.Type() == reflect.TypeFor[json.Number]():
		return errors.New("it is no JSON")
	case into.Kind() == reflect.String:
		into.SetString(text)
	case into.Kind() == reflect.Interface && into.NumMethod() == 0:
		into.Set(reflect.ValueOf(text))
	case into.Kind() == reflect.Slice && into.Type().Elem().Kind() == reflect.Uint8:
		into.SetBytes([]byte(text))
	case into.Kind() == reflect.Struct && into.NumField() == 0 && text == "":
	default:
		return errors.New("it is no JSON; take a string, or any")
	}
	return nil
}

func readBinary(content []byte, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return readBinary(content, into.Elem())
	}
	if reader, ok := into.Addr().Interface().(encoding.BinaryUnmarshaler); ok {
		return reader.UnmarshalBinary(content)
	}
	isRaw := into.Type() == reflect.TypeFor[json.RawMessage]()
	switch {
	case into.Kind() == reflect.Interface && into.NumMethod() == 0:
		into.Set(reflect.ValueOf(content))
	case into.Kind() == reflect.Slice && into.Type().Elem().Kind() == reflect.Uint8 && !isRaw:
		into.SetBytes(content)
	default:
		return errors.New("take []byte, any, or the *callboard.Payload")
	}
	return nil
}

// textOf reads bytes that say that they are text: UTF-8 unless they say Latin-1. What is neither becomes U+FFFD.
func textOf(content []byte, contentType string) string {
	if utf8.Valid(content) {
		return string(content)
	}
	_, parameters, _ := strings.Cut(strings.ToLower(contentType), ";")
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		if strings.TrimSpace(name) == "charset" && (value == "latin-1" || value == "latin1" || value == "iso-8859-1") {
			runes := make([]rune, len(content))
			for at, one := range content {
				runes[at] = rune(one)
			}
			return string(runes)
		}
	}
	return strings.ToValidUTF8(string(content), "\uFFFD")
}

// typeName is the name of a type as its author writes it: without the package.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name := t.Name(); name != "" {
		return name
	}
	return t.String()
}
