package panics

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestCatch(t *testing.T) {
	plain := errors.New("x")
	if err := Catch(func() error { return plain }); err != plain {
		t.Errorf("Catch = %v, want the error of the function", err)
	}
	err := Catch(func() error { panic("secret") })
	var e *Error
	if !errors.As(err, &e) || strings.Contains(err.Error(), "secret") {
		t.Fatalf("Catch = %v, want an Error that does not tell the value", err)
	}
	if text, ok := Details(fmt.Errorf("around: %w", err)); !ok || !strings.Contains(text, "secret") || !strings.Contains(text, "TestCatch") {
		t.Errorf("Details = %q, %t", text, ok)
	}
}

func TestAPanicOfAWorkerIsKept(t *testing.T) {
	var g errgroup.Group
	Go(&g, func() error { panic("x") })
	err := Catch(func() error { Again(g.Wait()); return nil })
	if text, _ := Details(err); !strings.Contains(text, "TestAPanicOfAWorkerIsKept") {
		t.Errorf("the place of the panic is lost: %s", text)
	}
	Again(errors.New("no panic"))
}
