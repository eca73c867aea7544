// Package backoff makes the delays between tries. Randomness is passed in.
package backoff

import "time"

const (
	// First is the delay before the second try.
	First = 100 * time.Millisecond
	// Longest is where the doubling ends.
	Longest = 5 * time.Second
)

// Backoff gives delays that double from [First] to [Longest]. Its zero value is ready.
type Backoff struct {
	doubled time.Duration
}

// Reset begins again at the first delay.
func (b *Backoff) Reset() {
	b.doubled = 0
}

// Next gives the next delay: a part of it between half and the whole, so that clients don't come in step. The fraction, from 0 to
// 1, says which part. If the server asked for a delay, that counts instead of the doubled one; nil means that it didn't.
func (b *Backoff) Next(asked *time.Duration, fraction float64) time.Duration {
	delay := b.doubled
	if delay == 0 {
		delay = First
	}
	b.doubled = min(2*delay, Longest)
	if asked != nil {
		delay = *asked
	}
	return time.Duration(float64(delay) * (0.5 + 0.5*fraction))
}
