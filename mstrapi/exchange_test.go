package mstrapi

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestExchangeIsUsedAgain(t *testing.T) {
	xs := exchanges{keep: 1}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := xs.take(ctx, time.Minute)
	first.asked.Add(1)
	first.got.Add(1)
	first.body = append(first.body, "an answer"...)
	xs.put(first, true)
	again := xs.take(ctx, time.Minute)
	if again != first {
		t.Error("the exchange of the attempt before was not used again")
	}
	if again.asked.Load() != 0 || again.got.Load() != 0 {
		t.Error("it still counts the connections of the attempt before")
	}
	other := xs.take(ctx, time.Minute)
	if other == again {
		t.Fatal("two attempts at once have the same exchange")
	}
	xs.put(again, true)
	xs.put(other, true)
	if other.ctx.Err() == nil || again.ctx.Err() != nil || len(xs.idle) != 1 {
		t.Errorf("%d exchanges are kept, want 1, and the other one ended", len(xs.idle))
	}
	xs.drop()
	if again.ctx.Err() == nil || len(xs.idle) != 0 {
		t.Error("drop left an exchange")
	}
	late := xs.take(ctx, time.Minute)
	xs.put(late, true)
	if late.ctx.Err() == nil || len(xs.idle) != 0 {
		t.Error("an exchange was kept after drop")
	}
}

// An exchange may be used for another caller, but its context is the caller's.
func TestExchangeEndsWithItsCaller(t *testing.T) {
	xs := exchanges{keep: 4}
	one, endOne := context.WithCancel(t.Context())
	two, endTwo := context.WithCancel(t.Context())
	defer endTwo()
	xs.put(xs.take(one, time.Minute), true)
	x := xs.take(two, time.Minute)
	endOne()
	if x.ctx.Err() != nil {
		t.Error("it ended with a caller that it does not serve")
	}
	endTwo()
	if x.ctx.Err() == nil {
		t.Error("it did not end with its caller")
	}
}

// listContext cannot be compared: to compare two of them would panic.
type listContext struct {
	context.Context
	_ []int
}

func TestExchangeOfAnUncomparableContext(t *testing.T) {
	xs := exchanges{keep: 4}
	ctx := listContext{Context: t.Context()}
	first := xs.take(ctx, time.Minute)
	xs.put(first, true)
	if xs.take(ctx, time.Minute) == first {
		t.Error("an exchange whose caller is not known was used again")
	}
}

func TestExchangeThatIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		xs := exchanges{keep: 4}
		partial := xs.take(t.Context(), time.Minute)
		xs.put(partial, false)
		slow := xs.take(t.Context(), time.Minute)
		if slow == partial {
			t.Error("an exchange was used again while the transport may still use it")
		}
		<-slow.ctx.Done()
		synctest.Wait()
		xs.put(slow, true)
		if len(xs.idle) != 0 {
			t.Error("an exchange was kept whose time was over")
		}
		// Its time starts anew.
		x := xs.take(t.Context(), time.Minute)
		time.Sleep(40 * time.Second)
		xs.put(x, true)
		time.Sleep(40 * time.Second)
		if xs.take(t.Context(), time.Minute) != x || x.ctx.Err() != nil {
			t.Error("the time ran on while nobody used it")
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if x.ctx.Err() != nil {
			t.Error("it ended before its time")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if x.ctx.Err() == nil {
			t.Error("it did not end in time")
		}
	})
}

func TestLargeBodiesAreNotKept(t *testing.T) {
	xs := exchanges{keep: 1}
	x := xs.take(t.Context(), time.Minute)
	x.body = make([]byte, 0, keepBody+1)
	xs.put(x, true)
	if x = xs.take(t.Context(), time.Minute); cap(x.body) > keepBody {
		t.Errorf("a buffer of %d bytes was kept", cap(x.body))
	}
}
