package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// fields are those of an object in a line, not yet read.
type fields map[string]json.RawMessage

// take reads a field and leaves the others.
func (f fields) take(name string, into any) error {
	text, is := f[name]
	if !is {
		return fmt.Errorf("`%s` is missing", name)
	}
	delete(f, name)
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("`%s`: %w", name, err)
	}
	return nil
}

// fill reads all fields into a struct, whose tags name them: `field:"task_id"`, `field:"reason,optional"`. What the struct doesn't name
// may not be there, lest a scenario test less than it says.
func (f fields) fill(into any) error {
	target := reflect.ValueOf(into).Elem()
	known := map[string]bool{}
	for at := range target.NumField() {
		name, optional, _ := strings.Cut(target.Type().Field(at).Tag.Get("field"), ",")
		known[name] = true
		text, is := f[name]
		switch {
		case !is && optional == "":
			return fmt.Errorf("`%s` is missing", name)
		case !is:
			continue
		}
		if err := json.Unmarshal(text, target.Field(at).Addr().Interface()); err != nil {
			return fmt.Errorf("`%s`: %w", name, err)
		}
	}
	for name := range f {
		if !known[name] {
			return fmt.Errorf("there is no field `%s`", name)
		}
	}
	return nil
}

// readObject is [fields.fill] for objects in objects.
func readObject(text []byte, into any) error {
	var found fields
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	return found.fill(into)
}

// milliseconds is a length of time.
type milliseconds int64

func (m milliseconds) duration() time.Duration {
	return time.Duration(m) * time.Millisecond
}

// instant is a point in time, which null takes away.
type instant struct {
	given bool
	at    time.Time
}

func (i *instant) UnmarshalJSON(text []byte) error {
	i.given = true
	if string(text) == "null" {
		return nil
	}
	var since int64
	err := json.Unmarshal(text, &since)
	i.at = time.UnixMilli(since)
	return err
}

// inMilliseconds gives a length of time for a line; nil stays null.
func inMilliseconds(length *time.Duration) any {
	if length == nil {
		return nil
	}
	return length.Milliseconds()
}
