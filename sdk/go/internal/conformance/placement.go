package main

import (
	"context"

	"callboard.dev/sdk/go"
	"callboard.dev/sdk/go/callboardv1"
)

// What a client asks of placement: who gets a task and why, and what limits hold it back.

type explainTask struct {
	TaskID string `field:"task_id"`
}

func (e *explainTask) run(ctx context.Context, by *caller) (any, error) {
	explanation, err := by.client.Explain(ctx, e.TaskID)
	return showExplanation(explanation), err
}

func showExplanation(explanation *callboard.AssignmentExplanation) object {
	waitingFor, candidates, limits, past := []string{}, []object{}, []object{}, []object{}
	for _, reason := range explanation.GetWaitingFor() {
		waitingFor = append(waitingFor, nameOf(reason))
	}
	for _, one := range explanation.GetCandidates() {
		candidates = append(candidates, showCandidate(one))
	}
	for _, one := range explanation.GetLimits() {
		limits = append(limits, showLimitUse(one))
	}
	for _, one := range explanation.GetPast() {
		past = append(past, showChoice(one))
	}
	return object{
		"task_id": explanation.GetTaskId(), "state": nameOf(explanation.GetState()), "waiting_for": waitingFor,
		"agent": explanation.GetAgent(), "ahead": explanation.GetAhead(), "agents": explanation.GetAgents(),
		"fitting": explanation.GetFitting(), "candidates": candidates, "limits": limits, "past": past,
	}
}

func showCandidate(candidate *callboardv1.AssignmentCandidate) object {
	obstacles := []object{}
	for _, one := range candidate.GetObstacles() {
		obstacles = append(obstacles, object{"type": nameOf(one.GetType()), "detail": one.GetDetail()})
	}
	return object{
		"agent": candidate.GetAgent(), "fits": candidate.GetFits(), "obstacles": obstacles, "score": candidate.GetScore(),
		"success": candidate.GetSuccess(), "idle": candidate.GetIdle(), "affinity": candidate.GetAffinity(), "role": candidate.GetRole(),
	}
}

func showLimitUse(use *callboard.LimitUse) object {
	var of any
	if use.GetLimit() != nil {
		of = showLimit(use.GetLimit())
	}
	return object{
		"key": use.GetKey(), "limit": of, "in_use": use.GetInUse(), "reached": use.GetReached(),
		"next_at_ms": timeOrNull(use.GetNextAt()),
	}
}

func showChoice(choice *callboard.AssignmentChoice) object {
	runnersUp := []object{}
	for _, one := range choice.GetRunnersUp() {
		runnersUp = append(runnersUp, object{"agent": one.GetAgent(), "score": one.GetScore()})
	}
	return object{
		"attempt": choice.GetAttempt(), "agent": choice.GetAgent(), "claimed": choice.GetClaimed(), "score": choice.GetScore(),
		"compared": choice.GetCompared(), "runners_up": runnersUp,
	}
}

type setLimits struct {
	Limits []limit `field:"limits"`
}

type limit struct {
	Key           string       `field:"key"`
	MaxConcurrent *int         `field:"max_concurrent,optional"`
	Rate          *int         `field:"rate,optional"`
	RatePeriod    milliseconds `field:"rate_period_ms,optional"`
}

func (l *limit) UnmarshalJSON(text []byte) error { return readObject(text, l) }

func (s *setLimits) run(ctx context.Context, by *caller) (any, error) {
	settings := &callboard.NamespaceSettings{Limits: s.given()}
	space, err := by.client.UpdateNamespace(ctx, by.client.Namespace(), settings, nil)
	shown := []object{}
	for _, one := range space.GetSettings().GetLimits() {
		shown = append(shown, showLimit(one))
	}
	return object{"limits": shown}, err
}

func (s *setLimits) given() []callboard.Limit {
	var limits []callboard.Limit
	for _, one := range s.Limits {
		limits = append(limits, callboard.Limit{
			Key: one.Key, MaxConcurrent: one.MaxConcurrent, Rate: one.Rate, RatePeriod: one.RatePeriod.duration(),
		})
	}
	return limits
}

// showLimit writes a limit; what it doesn't say is null.
func showLimit(limit *callboardv1.Limit) object {
	return object{
		"key": limit.GetKey(), "max_concurrent": limit.MaxConcurrent, "rate": limit.Rate, "rate_period_ms": lengthOrNull(limit.GetRatePeriod()),
	}
}
