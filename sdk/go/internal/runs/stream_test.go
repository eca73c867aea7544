package runs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callboard.dev/sdk/go/callboardv1"
	"google.golang.org/grpc/codes"
)

func TestTheFirstRunOpensTheStreamAndWhatIsAskedMeanwhileGoesTogether(t *testing.T) {
	s := newScript(t)
	s.ask("a", "b")
	s.does("open")
	s.sends("n a b")
	s.ask("c", "d")
	s.sends("c d")
	s.ended("c", "a")
	s.settles("c: task c", "a: task a")
	s.ended("b", "b", "x", "d")
	s.settles("b: task b", "d: task d")
	s.does()
}

func TestAStreamEndsWhenThereWasNothingToRunForAWhile(t *testing.T) {
	s := opened(t, "a")
	s.ended("a")
	s.settles("a: task a")
	s.passes(9 * time.Second)
	s.ask("b")
	s.sends("b")
	s.ended("b")
	s.settles("b: task b")
	s.passes(9 * time.Second)
	s.does()
	s.passes(time.Second)
	s.does("finish")
	if s.stream.TickAt() != Never {
		t.Error("there is nothing to wait for", s.stream.TickAt())
	}
	s.ask("c")
	s.does("open")
	s.sends("n c")
}

func TestWhatHasNoOutcomeIsAskedAgainInItsOrderWhenTheStreamBreaks(t *testing.T) {
	for _, how := range []string{"busy", "cut", "later"} {
		s := opened(t, "a", "b", "c")
		s.ask("d")
		s.ended("b")
		s.settles("b: task b")
		s.breaks(how)
		s.does("leave")
		s.passes(400 * time.Millisecond)
		s.does("open")
		s.sends("n a c d")
		s.ended("a", "c", "d")
		s.settles("a: task a", "c: task c", "d: task d")
	}
}

func TestTheDelaysDoubleUntilSomethingIsDone(t *testing.T) {
	s := opened(t, "a")
	for _, delay := range []time.Duration{100, 200, 400, 800} {
		s.breaks("busy")
		s.does("leave")
		s.passes(delay*time.Millisecond - 1)
		s.does()
		s.passes(1)
		s.does("open")
		s.stream.Opened(s.now)
	}
	s.sends("n a")
	s.ended("a")
	s.ask("b")
	s.breaks("busy")
	s.passes(100 * time.Millisecond)
	s.does("leave", "open")
}

func TestRunsEndWhenNoStreamCouldBeOpenedForAsLongAsTheirPatience(t *testing.T) {
	s := opened(t, "a")
	for range 6 {
		s.settles()
		s.breaks("busy")
		s.passes(4900 * time.Millisecond)
	}
	s.ask("late")
	s.breaks("busy")
	s.settles("a: busy")
	s.passes(5 * time.Second)
	s.sends("n late")
}

func TestAStreamThatCouldBeOpenedIsNotFailing(t *testing.T) {
	s := opened(t, "a")
	for s.now < 3*patience {
		s.breaks("cut")
		s.passes(5 * time.Second)
		s.stream.Opened(s.now)
	}
	s.settles()
	s.sends("n a")
}

func TestAServerThatIsSilentHasBrokenTheStream(t *testing.T) {
	s := opened(t, "a")
	s.passes(20 * time.Second)
	s.stream.Received(s.now, &callboardv1.RunTasksResponse{})
	s.passes(silence - 1)
	s.does()
	s.passes(1)
	s.does("cut", "leave")
	s.passes(100 * time.Millisecond)
	s.does("open")
	s.sends("n a")
	s.passes(silence)
	s.settles("a: silent")
}

func TestARefusalIsTheRunsOwn(t *testing.T) {
	s := opened(t, "a", "b")
	s.refused("a", "wrong")
	s.settles("a: wrong")
	s.ended("b")
	s.settles("b: task b")
	s.does()
}

func TestARefusedStreamRefusesItsRuns(t *testing.T) {
	s := opened(t, "a")
	s.ask("b")
	s.breaks("wrong")
	s.settles("a: wrong", "b: wrong")
	s.does()
	s.ask("c")
	s.does("open")
}

func TestARunThatMayBeRetriedIsAskedAgainWhenTheServerWants(t *testing.T) {
	s := opened(t, "a", "b")
	s.refused("a", "later")
	s.sends()
	s.passes(399 * time.Millisecond)
	s.sends()
	s.passes(time.Millisecond)
	s.sends("a")
	s.ended("a")
	s.settles("a: task a")
	s.does()
}

func TestARunThatIsRefusedForAsLongAsItsPatienceEnds(t *testing.T) {
	s := opened(t, "a", "b")
	for s.now < patience-400*time.Millisecond {
		s.settles()
		s.refused("a", "later")
		s.passes(400 * time.Millisecond)
		s.sends("a")
	}
	s.refused("a", "later")
	s.settles("a: later")
}

func TestAServerThatDoesNothingForAnybodyIsLeft(t *testing.T) {
	s := opened(t, "a", "b")
	s.refused("a", "busy")
	s.passes(100 * time.Millisecond)
	s.sends("a")
	s.ended("b")
	s.settles("b: task b")
	s.refused("a", "busy")
	s.does()
	s.passes(200 * time.Millisecond)
	s.sends("a")
	s.ask("c")
	s.refused("a", "busy")
	s.does()
	s = opened(t, "a", "b")
	s.refused("a", "busy")
	s.passes(100 * time.Millisecond)
	s.sends("a")
	s.refused("a", "busy")
	s.does("cut", "leave")
	s.passes(100 * time.Millisecond)
	s.does("open")
	s.sends("n b")
	s.passes(100 * time.Millisecond)
	s.sends("a")
}

func TestAServerWithoutTheMethodGetsCalls(t *testing.T) {
	s := opened(t, "a", "c")
	s.refused("c", "later")
	s.ask("b")
	s.breaks("old")
	s.settles("a: by calls", "b: by calls", "c: by calls")
	s.does()
}

func TestWhatIsGivenUpIsForgotten(t *testing.T) {
	s := opened(t, "a", "b")
	s.ask("c")
	for _, id := range []string{"a", "c"} {
		if fault := s.stream.Forget(s.now, s.runs[id]); fault != nil {
			t.Error("nothing stood in its way", fault)
		}
	}
	s.sends("[a]")
	s.ended("a", "b")
	s.settles("b: task b")
	s.refused("a", "later")
	s.stream.Forget(s.now, s.runs["b"])
	s.sends()
}

func TestWhoGivesUpIsToldWhatStoodInTheWay(t *testing.T) {
	s := opened(t, "a", "b")
	s.refused("a", "later")
	if fault := s.stream.Forget(s.now, s.runs["a"]); fault == nil || fault.Code != codes.ResourceExhausted {
		t.Error("it was refused", fault)
	}
	s.sends()
	s.breaks("busy")
	if fault := s.stream.Forget(s.now, s.runs["b"]); fault == nil || fault.Code != codes.Unavailable {
		t.Error("there is no stream", fault)
	}
	s.passes(time.Minute)
	s.does("leave")
	s.settles()
}

func TestAServerThatNobodyCouldWaitForIsLeft(t *testing.T) {
	s := newScript(t)
	s.ask("a", "b")
	s.sends("n a b")
	s.stream.Forget(s.now, s.runs["a"])
	s.does("open")
	s.stream.Forget(s.now, s.runs["b"])
	s.does("cut", "leave")
	s.ask("c")
	s.does("open")
	s.sends("n c")
}

func TestARunUnderAnIDThatIsOnTheStreamWaitsForThatOutcome(t *testing.T) {
	s := opened(t, "a")
	s.askAs("again", "a")
	s.ask("b")
	s.sends("b")
	s.ended("a")
	s.settles("a: task a")
	s.sends("a")
	s.askAs("third", "a")
	s.stream.Forget(s.now, s.runs["again"])
	// Not in one frame: which of the two the id means would be anybody's guess.
	s.sends("[a]", "a")
	s.ended("a", "b")
	s.settles("third: task a", "b: task b")
}

func TestAFrameHasAtMostAThousandRunsAndAMegabyte(t *testing.T) {
	s := newScript(t)
	for at := range 1500 {
		s.ask(fmt.Sprint(at))
	}
	for _, want := range []int{1000, 500} {
		if got := len(s.frame().GetRuns()); got != want {
			t.Error(got, "runs, and not", want)
		}
	}
	s.sends()
	for _, size := range []int{600 << 10, 400 << 10, 400 << 10, 1500 << 10, 1} {
		spec := &callboardv1.TaskSpec{Type: "t", Description: strings.Repeat("x", size)}
		run, err := NewRun(fmt.Sprintf("%dbytes", size), spec, patience)
		if err != nil {
			t.Fatal(err)
		}
		s.stream.Ask(s.now, run)
		s.runs[run.ID()] = run
	}
	s.sends("614400bytes 409600bytes", "1536000bytes", "1bytes")
	// The second under this id waited for the outcome of the first.
	s.ended("409600bytes")
	s.sends("409600bytes")
}

func TestNoMoreRunsAreOnAStreamThanItMayHave(t *testing.T) {
	s := newScript(t)
	for at := range mostAsked + 10 {
		s.ask(fmt.Sprint(at))
	}
	sent := 0
	for frame := s.frame(); frame != nil; frame = s.frame() {
		sent += len(frame.GetRuns())
	}
	if sent != mostAsked || s.stream.HasFrame() {
		t.Error(sent, "runs are on the stream")
	}
	s.ended("7")
	s.stream.Forget(s.now, s.runs["8"])
	s.sends("[8]", "4096 4097")
}

func TestManyThatAreGivenUpWhileTheyWaitLeaveNothingBehind(t *testing.T) {
	s := newScript(t)
	for at := range 1000 {
		s.ask(fmt.Sprint(at))
	}
	for at := range 999 {
		s.stream.Forget(s.now, s.runs[fmt.Sprint(at)])
	}
	if kept := len(s.stream.waiting.runs); kept > 2 {
		t.Error(kept, "are kept")
	}
	s.sends("n 999")
}

func TestCloseEndsAllRuns(t *testing.T) {
	s := opened(t, "a", "b")
	s.refused("b", "later")
	s.ask("c")
	s.stream.Close(s.now, planned([]byte("cut")))
	s.does("cut")
	s.settles("a: cut", "b: cut", "c: cut")
	if s.stream.TickAt() != Never {
		t.Error("nothing is due")
	}
}

func TestARunWithLessTimeThanTheDelayIsTriedForSooner(t *testing.T) {
	s := opened(t, "a")
	for range 8 {
		s.breaks("busy")
		s.passes(5 * time.Second)
	}
	s.breaks("busy")
	s.stream.TakeActions()
	run, err := NewRun("hasty", &callboardv1.TaskSpec{}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.stream.Ask(s.now, run)
	s.passes(time.Second / 2)
	s.does("open")
}

func TestATaskThatCanNotBeEncodedIsNoRun(t *testing.T) {
	if _, err := NewRun("a", &callboardv1.TaskSpec{Type: "\xff"}, patience); err == nil {
		t.Error("taken")
	}
}
