package callboard

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"unicode/utf8"

	"callboard.dev/sdk/go/callboardv1"
)

// MaxPayload is the most bytes of content in a payload: 1 MiB. More is refused before anything is sent.
const MaxPayload = 1 << 20

const (
	typeText   = "text/plain"
	typeBinary = "application/octet-stream"
	typeJSON   = "application/json"
)

// Text makes a payload of text with a content type of your choice.
func Text(text, contentType string) *Payload {
	return &Payload{ContentType: contentType, Content: &callboardv1.Payload_Text{Text: text}}
}

// Binary makes a payload of bytes with a content type of your choice.
func Binary(content []byte, contentType string) *Payload {
	return &Payload{ContentType: contentType, Content: &callboardv1.Payload_Binary{Binary: content}}
}

// Encode makes a payload of a value: of a string text/plain, of bytes application/octet-stream, of everything else, nil included,
// JSON as encoding/json writes it. A string is what has the kind of a string and no JSON of its own; [json.Number] is a number. A
// pointer stands for what it points to. A [*Payload] goes as it is.
//
// The error is an [*Error] of the kind [ErrInvalidArgument] when the value can't be JSON (NaN, a channel), has text that is not
// UTF-8, or has more than [MaxPayload] bytes.
func Encode(value any) (*Payload, error) {
	return encode(value, "payload")
}

// encode names the field that the value is for.
func encode(value any, field string) (*Payload, error) {
	payload, err := toPayload(value)
	if err != nil {
		return nil, invalid(field, fmt.Sprintf("%s is not a string, bytes, or JSON: %v", field, err))
	}
	if size := contentSize(payload); size > MaxPayload {
		fault := fmt.Sprintf("%s has %d bytes, more than %d: keep it elsewhere and send where it is", field, size, MaxPayload)
		return nil, refused(field, fault, callboardv1.ErrorReason_ERROR_REASON_PAYLOAD_TOO_LARGE)
	}
	return payload, nil
}

func contentSize(payload *Payload) int {
	return len(payload.GetText()) + len(payload.GetBinary())
}

func toPayload(value any) (*Payload, error) {
	switch value := value.(type) {
	case *Payload:
		if value == nil {
			return toPayload("")
		}
		if !utf8.ValidString(value.GetText()) {
			return nil, errNotUTF8
		}
		return value, nil
	case string:
		return textPayload(value)
	case []byte:
		return Binary(value, typeBinary), nil
	case json.Number, json.Marshaler, encoding.TextMarshaler, nil:
		return jsonPayload(value)
	}
	v := reflect.ValueOf(value)
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return toPayload(v.Elem().Interface())
	case v.Kind() == reflect.String:
		return textPayload(v.String())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return Binary(v.Bytes(), typeBinary), nil
	}
	return jsonPayload(value)
}

func textPayload(text string) (*Payload, error) {
	if !utf8.ValidString(text) {
		return nil, errNotUTF8
	}
	return Text(text, typeText), nil
}

func jsonPayload(value any) (*Payload, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(out.Bytes(), []byte("\n"))
	// encoding/json writes this in place of what is not UTF-8; the character itself it writes as it is.
	if bytes.Contains(text, []byte(`\ufffd`)) && hasBrokenText(reflect.ValueOf(value)) {
		return nil, errNotUTF8
	}
	return Text(string(text), typeJSON), nil
}

var errNotUTF8 = fmt.Errorf("it has text that is not UTF-8")

// hasBrokenText looks for strings that are not UTF-8 in a value that has no cycles.
func hasBrokenText(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return !utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return !v.IsNil() && hasBrokenText(v.Elem())
	case reflect.Slice, reflect.Array:
		for at := range v.Len() {
			if hasBrokenText(v.Index(at)) {
				return true
			}
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			if hasBrokenText(entries.Key()) || hasBrokenText(entries.Value()) {
				return true
			}
		}
	case reflect.Struct:
		for at := range v.NumField() {
			if v.Type().Field(at).IsExported() && hasBrokenText(v.Field(at)) {
				return true
			}
		}
	}
	return false
}
