package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"callboard.dev/sdk/go/internal/testserver"
)

func TestTasksGoThroughAndAreMeasured(t *testing.T) {
	server := testserver.Start(t)
	t.Setenv("CALLBOARD_ADDRESS", server.Address)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serving, leave := context.WithCancel(ctx)
	ended := make(chan error, 1)
	profile := filepath.Join(t.TempDir(), "profile")
	go func() { ended <- run(serving, []string{"agent", "--slots", "4", "--profile", profile}, nil) }()
	var out bytes.Buffer
	if err := run(ctx, []string{"client", "--tasks", "40", "--in-flight", "8", "--idle", "3"}, &out); err != nil {
		t.Fatal(err)
	}
	var said map[string]any
	if err := json.Unmarshal(out.Bytes(), &said); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatal("not one line of JSON:", err, out.String())
	}
	for _, figure := range []string{"tasks_per_second", "idle_p50_ms", "idle_p99_ms"} {
		if value, is := said[figure].(float64); !is || value <= 0 {
			t.Error(figure, said)
		}
	}
	if said["sdk"] != "go" || said["tasks"] != 40.0 || said["in_flight"] != 8.0 {
		t.Error(said)
	}
	leave()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if written, err := os.Stat(profile); err != nil || written.Size() == 0 {
		t.Error("no profile:", err)
	}
}

func TestWhatCanNotBeMeasuredIsRefused(t *testing.T) {
	for _, arguments := range [][]string{nil, {"server"}, {"client", "--tasks", "0"}, {"client", "--speed", "9"}} {
		if run(t.Context(), arguments, nil) == nil {
			t.Error("taken:", arguments)
		}
	}
}

func TestAPercentileIsOneOfTheLatencies(t *testing.T) {
	var latencies []time.Duration
	for at := range 200 {
		latencies = append(latencies, time.Duration(at+1)*time.Millisecond)
	}
	for percent, want := range map[int]float64{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := percentile(latencies, percent); got != want {
			t.Error(percent, got)
		}
	}
}
