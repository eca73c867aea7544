package callboard

import (
	"math"
	"time"

	"callboard.dev/sdk/go/callboardv1"
)

// Limit is what the tasks with a limit key may do, all agents and servers together: see [NamespaceSettings] and [NewTask].LimitKeys. It has
// a MaxConcurrent, a Rate, or both. It counts from when it is set: what runs beyond it goes on.
//
//	settings := &callboard.NamespaceSettings{Limits: []callboard.Limit{
//		{Key: "model/large", MaxConcurrent: new(4)},
//		{Key: "tenant/*", Rate: new(100), RatePeriod: time.Minute},
//	}}
type Limit struct {
	// Key is the limit key, 1 to 128 bytes. One that ends with * is the limit of each key that begins with what stands before it and has
	// none of its own; of several the longest: tenant/* lets each tenant have so much.
	Key string
	// MaxConcurrent is how many tasks may be ASSIGNED or RUNNING at once; nil means any number. 1 to 1,000,000. Zero is refused: it is no
	// way to say "no limit".
	MaxConcurrent *int
	// Rate is how many attempts may be given out in each RatePeriod, and at once behind a time without any; nil means any number. 1 to
	// 1,000,000; zero is refused.
	Rate *int
	// RatePeriod is the time that Rate is for. Only with Rate. Default 1 s; 1 ms to 24 h.
	RatePeriod time.Duration
}

func protoLimits(limits []Limit) []*callboardv1.Limit {
	out := make([]*callboardv1.Limit, len(limits))
	for at, one := range limits {
		out[at] = &callboardv1.Limit{
			Key: one.Key, MaxConcurrent: protoCount(one.MaxConcurrent), Rate: protoCount(one.Rate), RatePeriod: duration(one.RatePeriod),
		}
	}
	return out
}

func limitsOf(limits []*callboardv1.Limit) []Limit {
	out := make([]Limit, len(limits))
	for at, one := range limits {
		out[at] = Limit{
			Key: one.GetKey(), MaxConcurrent: countOf(one.MaxConcurrent), Rate: countOf(one.Rate), RatePeriod: one.GetRatePeriod().AsDuration(),
		}
	}
	return out
}

func countOf(count *int32) *int {
	if count == nil {
		return nil
	}
	return new(int(*count))
}

// protoCount keeps nil, and keeps what the wire has no room for out of its reach, so that the server refuses it: cut off it might be a
// count that nobody asked for.
func protoCount(count *int) *int32 {
	if count == nil {
		return nil
	}
	return new(int32(min(max(*count, math.MinInt32), math.MaxInt32)))
}
