package backoff

import (
	"testing"
	"time"
)

func TestDelaysDoubleAndStopDoubling(t *testing.T) {
	var b Backoff
	for _, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		if got := b.Next(nil, 1); got != want*time.Millisecond {
			t.Errorf("got %v, want %v ms", got, want)
		}
	}
	b.Reset()
	if got := b.Next(nil, 1); got != First {
		t.Errorf("after a reset: got %v", got)
	}
}

func TestDelaysAreAtLeastHalf(t *testing.T) {
	var b Backoff
	if got := b.Next(nil, 0); got != 50*time.Millisecond {
		t.Errorf("got %v", got)
	}
	asked := 3 * time.Second
	if got := b.Next(&asked, 0); got != 1500*time.Millisecond {
		t.Errorf("what the server asks for counts: got %v", got)
	}
}
