package executor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
)

const kpi = "assign-watch-kpi-insight"

func TestRunCommand(t *testing.T) {
	running := func(progress int) mstrapi.QueueEntry {
		return mstrapi.QueueEntry{ID: "Q1", Status: 1, Progress: progress}
	}
	tests := []struct {
		name    string
		command string
		submit  error
		queue   []any
		want    CommandOutcome
		message string
		took    time.Duration // 0: not checked
	}{
		{name: "at once", queue: []any{mstrapi.QueueEntry{Status: 3, Progress: 100}}, want: CommandSucceeded},
		{name: "after a while", queue: []any{running(0), running(50), mstrapi.QueueEntry{Status: 3, Progress: 100}}, want: CommandSucceeded, took: 1250 * time.Millisecond},
		{name: "server's error", queue: []any{running(0), mstrapi.QueueEntry{Status: 3, IServerErrorCode: -7}}, want: CommandFailed, message: "error code -7"},
		{name: "never ends", queue: []any{running(10)}, want: CommandTimedOut, message: "still running after 1m0s", took: time.Minute},
		{name: "gone", queue: []any{running(1), &mstrapi.Error{Status: 404, Code: "ERR004", Message: "no such entry"}}, want: CommandFailed, message: "no such entry"},
		{name: "a hiccup", queue: []any{&mstrapi.Error{Status: 503}, mstrapi.QueueEntry{Status: 3}}, want: CommandSucceeded},
		{name: "no answer any more", queue: []any{running(1), &mstrapi.Error{Status: 503, Message: "down"}}, want: CommandTimedOut, message: "no answer about it within 1m0s"},
		{name: "refused", submit: &mstrapi.Error{Status: 403, Code: "ERR017", Message: "no right"}, want: CommandFailed, message: "no right"},
		{name: "submission lost", submit: errors.New("reset"), want: CommandFailed, message: "may be running"},
		{name: "unknown", command: "drop-everything", want: CommandFailed, message: "unknown metadata command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.submitErr, f.queue = tt.submit, tt.queue
				command := tt.command
				if command == "" {
					command = kpi
				}
				began := time.Now()
				got := RunCommand(t.Context(), f, command, Options{CommandTimeout: time.Minute})
				if got.Outcome != tt.want || tt.message != "" && (got.Error == nil || !strings.Contains(got.Error.Message, tt.message)) {
					t.Errorf("RunCommand = %+v (%+v), want %s, %q", got, got.Error, tt.want, tt.message)
				}
				if tt.want == CommandSucceeded && got.Error != nil {
					t.Errorf("error = %v", got.Error)
				}
				if took := time.Since(began); tt.took != 0 && took != tt.took {
					t.Errorf("took %s, want %s", took, tt.took)
				}
				if f.submitted > 1 {
					t.Errorf("submitted %d times", f.submitted)
				}
			})
		})
	}
}

func TestRunCommandStops(t *testing.T) {
	for _, hard := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.queue = []any{mstrapi.QueueEntry{Status: 1}}
			ctx, cancel := context.WithCancel(t.Context())
			stop, stopNow := context.WithCancel(t.Context())
			defer stopNow()
			if hard {
				time.AfterFunc(3*time.Second, cancel)
			} else {
				time.AfterFunc(3*time.Second, stopNow)
			}
			got := RunCommand(ctx, f, kpi, Options{Stop: stop})
			if got.Outcome != CommandInterrupted || got.QueueID != "Q1" {
				t.Errorf("hard %v: RunCommand = %+v, want interrupted with its queue id", hard, got)
			}
			stopNow()
			cancel()
			if got := RunCommand(ctx, f, kpi, Options{Stop: stop}); got.Outcome != CommandNotAttempted || f.submitted != 1 {
				t.Errorf("after the stop: %+v, submitted %d times", got, f.submitted)
			}
		})
	}
}

func TestCommandsOfAnApply(t *testing.T) {
	tests := []struct {
		name   string
		faults []patchFault
		queue  mstrapi.QueueEntry
		want   RunOutcome
		exit   int
	}{
		{"all well", nil, mstrapi.QueueEntry{Status: 3}, RunSucceeded, ExitOK},
		{"runs after a partial apply, too", []patchFault{refused}, mstrapi.QueueEntry{Status: 3}, RunFailed, ExitIncomplete},
		{"fails", nil, mstrapi.QueueEntry{IServerErrorCode: 1}, RunPartial, ExitIncomplete},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				plan := f.plan("u1 +2")
				plan.Commands = CommandNames()
				f.faults[oid("u1")] = tt.faults
				f.queue = []any{tt.queue}
				r := Apply(t.Context(), f, plan, Options{})
				if r.Run.Outcome != tt.want || ExitCode(r) != tt.exit || f.submitted != 1 || len(r.Commands) != 1 {
					t.Errorf("Apply = %s, exit %d, submitted %d, commands %v", r.Run.Outcome, ExitCode(r), f.submitted, r.Commands)
				}
			})
		})
	}
}

func TestCommandAloneInSync(t *testing.T) {
	f := newFake()
	plan := f.plan()
	plan.Commands = CommandNames()
	if r := Apply(t.Context(), f, plan, Options{}); r.Run.Outcome != RunInSync || f.submitted != 1 {
		t.Errorf("Apply = %s, submitted %d times, want in-sync, once", r.Run.Outcome, f.submitted)
	}
}
