package main

import (
	"context"
	"maps"
	"slices"

	"callboard.dev/sdk/go"
)

// pathHeader has the names of the interceptors that a task came through.
const pathHeader = "x-path"

// interceptor is one that leaves marks.
type interceptor struct {
	Name   string `field:"name"`
	Submit *marks `field:"submit,optional"`
	Handle bool   `field:"handle,optional"`
}

type marks struct {
	Headers map[string]string `field:"headers,optional"`
}

func (i *interceptor) UnmarshalJSON(text []byte) error { return readObject(text, i) }

func (m *marks) UnmarshalJSON(text []byte) error { return readObject(text, m) }

// made gives them as the SDK takes them.
func made(interceptors []interceptor) []callboard.Interceptor {
	var all []callboard.Interceptor
	for _, one := range interceptors {
		var added callboard.Interceptor
		if one.Submit != nil {
			added.Submit = one.submit
		}
		if one.Handle {
			added.Handle = one.handle
		}
		all = append(all, added)
	}
	return all
}

func (i *interceptor) submit(ctx context.Context, task callboard.NewTask, next callboard.SubmitFunc) (callboard.Submitted, error) {
	headers := map[string]string{}
	maps.Copy(headers, task.Headers)
	maps.Copy(headers, i.Submit.Headers)
	path := i.Name
	if before := headers[pathHeader]; before != "" {
		path = before + "," + i.Name
	}
	headers[pathHeader] = path
	task.Headers = headers
	return next(ctx, task)
}

// handle appends its name to the list `path` of a result that is an object.
func (i *interceptor) handle(ctx context.Context, _ *callboard.Context, input any, next callboard.HandleFunc) (any, error) {
	result, err := next(ctx, input)
	if given, is := result.(map[string]any); is {
		marked := maps.Clone(given)
		path, _ := marked["path"].([]any)
		marked["path"] = append(slices.Clip(path), i.Name)
		result = marked
	}
	return result, err
}
