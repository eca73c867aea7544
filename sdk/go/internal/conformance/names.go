package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// enumeration is one of the protocol's.
type enumeration interface {
	~int32
	protoreflect.Enum
}

// named is a value of an enumeration, which lines have by its name without prefix: URGENT.
type named[E enumeration] struct{ is E }

func (n *named[E]) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	found := n.is.Descriptor().Values().ByName(protoreflect.Name(prefixOf(n.is) + name))
	if found == nil {
		return fmt.Errorf("%q is no %s", name, n.is.Descriptor().Name())
	}
	n.is = E(found.Number())
	return nil
}

// nameOf gives the name of a value. One that is newer than the SDK shows as its number.
func nameOf[E enumeration](of E) string {
	found := of.Descriptor().Values().ByNumber(of.Number())
	if found == nil {
		return fmt.Sprint(int32(of))
	}
	return strings.TrimPrefix(string(found.Name()), prefixOf(of))
}

// prefixOf gives what the names of all values begin with: TASK_STATE_ for TaskState.
func prefixOf(of protoreflect.Enum) string {
	var prefix strings.Builder
	for at, letter := range string(of.Descriptor().Name()) {
		if at > 0 && unicode.IsUpper(letter) {
			prefix.WriteByte('_')
		}
		prefix.WriteRune(unicode.ToUpper(letter))
	}
	return prefix.String() + "_"
}
