package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// How values are written that no JSON is like.
const (
	bytesMark   = "$bytes"
	payloadMark = "$payload"
)

// value is what a user of the SDK passes to it.
type value struct {
	given bool
	is    any
}

func (v *value) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	// No number loses a digit.
	decoder.UseNumber()
	if err := decoder.Decode(&v.is); err != nil {
		return err
	}
	v.given = true
	parsed, isObject := v.is.(map[string]any)
	if !isObject || len(parsed) != 1 {
		return nil
	}
	var err error
	if encoded, is := parsed[bytesMark]; is {
		v.is, err = readBytes(encoded)
	} else if _, is := parsed[payloadMark]; is {
		v.is, err = readPayload(text)
	}
	return err
}

// orNull is the value where the SDK takes nil for none.
func (v value) orNull() any {
	if v.given && v.is == nil {
		return json.RawMessage("null")
	}
	return v.is
}

func readBytes(encoded any) ([]byte, error) {
	text, isText := encoded.(string)
	if !isText {
		return nil, errors.New(bytesMark + " is not base64")
	}
	return base64.StdEncoding.DecodeString(text)
}

func readPayload(text []byte) (*callboard.Payload, error) {
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(text, &outer); err != nil {
		return nil, err
	}
	var read struct {
		ContentType string  `field:"content_type"`
		Text        *string `field:"text,optional"`
		Base64      *[]byte `field:"base64,optional"`
	}
	if err := readObject(outer[payloadMark], &read); err != nil {
		return nil, err
	}
	switch {
	case (read.Text == nil) == (read.Base64 == nil):
		return nil, errors.New(payloadMark + " has either text or base64")
	case read.Text != nil:
		return callboard.Text(*read.Text, read.ContentType), nil
	}
	return callboard.Binary(*read.Base64, read.ContentType), nil
}

// show writes a value that the SDK gave.
func show(given any) any {
	switch given := given.(type) {
	case []byte:
		return object{bytesMark: given}
	case *callboard.Payload:
		shown := object{"content_type": given.GetContentType()}
		if binary, is := given.GetContent().(*callboardv1.Payload_Binary); is {
			shown["base64"] = binary.Binary
		} else {
			shown["text"] = given.GetText()
		}
		return object{payloadMark: shown}
	}
	return given
}

// showPayload writes what a payload says, as the SDK decodes it; null when there is none.
func showPayload(payload *callboard.Payload) (any, error) {
	if payload == nil {
		return nil, nil
	}
	decoded, err := callboard.Decode[any](payload)
	return show(decoded), err
}
