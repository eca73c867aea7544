package main

import (
	"context"

	"callboard.dev/sdk/go"
)

// The types of the handler whose types say their schemas: see DRIVER.md.

type order struct {
	Item  string   `json:"item"`
	Count int      `json:"count"`
	Tags  []string `json:"tags"`
	To    place    `json:"to"`
	Note  *string  `json:"note,omitempty"`
}

type place struct {
	City string `json:"city"`
}

type bill struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
	City  string `json:"city"`
}

func makeBill(_ context.Context, of order, _ *callboard.Context) (bill, error) {
	return bill{of.Item, of.Count, of.To.City}, nil
}

// addTyped has the agent handle a task type by the typed handler of this name.
func addTyped(to *callboard.Agent, taskType, name string) error {
	if name != "order" {
		return faultf("the handler of %s has neither a program nor a type", taskType)
	}
	callboard.Handle(to, taskType, makeBill, nil)
	return nil
}
