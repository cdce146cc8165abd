package render

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a tab of a headless Chromium that records everything a page should
// not do.
type browser struct {
	ctx  context.Context
	file string

	served string // a URL under which a test serves the page as well
	mu     sync.Mutex
	wrong  []string
	asked  []string // URLs
}

// chromium is a running headless Chromium; every page is a tab of it.
type chromium struct{ ctx context.Context }

// startChromium starts the browser. Without Chromium the test is skipped, unless
// PRIVSYNC_REQUIRE_CHROMIUM is 1.
func startChromium(t *testing.T) chromium {
	t.Helper()
	binary := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" {
		if os.Getenv("PRIVSYNC_REQUIRE_CHROMIUM") == "1" {
			t.Fatal("Chromium is required by PRIVSYNC_REQUIRE_CHROMIUM=1, but there is none in PATH")
		}
		t.Skip("no Chromium in PATH: install the package chromium to test the HTML page in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary), chromedp.WindowSize(1400, 1000))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return chromium{ctx}
}

// open opens page in a tab of its own, with or without JavaScript.
func (c chromium) open(t *testing.T, page string, javascript bool) *browser {
	t.Helper()
	b := &browser{file: filepath.Join(t.TempDir(), "page.html")}
	if err := os.WriteFile(b.file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.ctx, 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b.ctx = ctx
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			b.complain("console %s: %v", e.Type, e.Args)
		case *runtime.EventExceptionThrown:
			b.complain("exception: %v", e.ExceptionDetails)
		case *cdplog.EventEntryAdded:
			b.complain("log %s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		case *cdppage.EventJavascriptDialogOpening:
			b.complain("dialog: %s", e.Message)
		case *network.EventRequestWillBeSent:
			b.mu.Lock()
			b.asked = append(b.asked, e.Request.URL)
			b.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, cdplog.Enable, cdp.Empty{})
	call(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !javascript})
	call(t, b, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: `window.violations = []; document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective + " " + e.blockedURI));`})
	b.do(t, chromedp.Navigate("file://"+b.file), chromedp.WaitReady("footer"))
	return b
}

// call sends a command of the DevTools protocol.
func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) R {
	t.Helper()
	v, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// run runs one action and returns its value.
func run[T any](t *testing.T, b *browser, action chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// do runs actions that have no value.
func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

func (b *browser) complain(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

// eval returns the value of a JavaScript expression.
func eval[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	return run(t, b, chromedp.Evaluate[T](expression))
}

// settled waits for the frame in which the page reacts to input.
func (b *browser) settled(t *testing.T) {
	t.Helper()
	run(t, b, chromedp.Evaluate[bool](`new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(true))), 1))`, chromedp.EvalAwaitPromise))
}

// set gives a field of the form a value, as a person would.
func (b *browser) set(t *testing.T, id, value string) {
	t.Helper()
	eval[bool](t, b, fmt.Sprintf(`(() => { const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event("input", {bubbles: true})); return true; })()`, id, value))
	b.settled(t)
}

// blameless fails if the page did anything that it should not.
func (b *browser) blameless(t *testing.T) {
	t.Helper()
	if v := eval[[]string](t, b, "violations"); len(v) > 0 {
		t.Errorf("violations of the content security policy: %q", v)
	}
	b.silent(t)
}

// silent is blameless for a page whose script does not run.
func (b *browser) silent(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.wrong {
		t.Error(w)
	}
	for _, u := range b.asked {
		if u != "file://"+b.file && u != b.served {
			t.Errorf("the page asked for %s", u)
		}
	}
}

const (
	shownRows     = `document.querySelectorAll("#grid tbody tr:not([hidden])").length`
	shownSections = `document.querySelectorAll("article:not([hidden])").length`
	shownColumns  = `[...document.querySelectorAll("#grid thead th.p")].filter((th) => th.getClientRects().length > 0).length`
	firstRow      = `document.querySelector("#grid tbody tr:not([hidden]) bdi").textContent`
	status        = `document.getElementById("shown").textContent`
)

// TestBrowser shows pages in one browser, each in a tab of its own: both forms of a page,
// whole and drawn from data, where they must do the same.
func TestBrowser(t *testing.T) {
	c := startChromium(t)
	for name, test := range map[string]func(*testing.T, int){
		"filters": c.filters, "tells sources": c.tellsSources, "names the worst": c.namesTheWorst, "sorts": c.sorts, "hostile": c.hostile,
	} {
		t.Run(name+"/whole", func(t *testing.T) { test(t, 0) })
		t.Run(name+"/data", func(t *testing.T) { test(t, 1) })
	}
	for name, test := range map[string]func(*testing.T){
		"keyboard": c.keyboard, "asks for nothing": c.asksForNothing, "without JavaScript": c.withoutJavaScript, "on paper": c.onPaper,
		"large audit": c.largeAudit, "large without JavaScript": c.largeWithoutJavaScript,
	} {
		t.Run(name, test)
	}
}

func (c chromium) filters(t *testing.T, dataFrom int) {
	b := c.open(t, htmlOf(t, sampleAudit(), HTMLOptions{Names: catalogue(), DataFrom: dataFrom}), true)
	all := eval[int](t, b, shownRows)
	columns := eval[int](t, b, shownColumns)
	if all != 6 || columns < 8 || !eval[bool](t, b, `!document.getElementById("filters").hidden`) {
		t.Fatalf("at first %d rows and %d columns are shown", all, columns)
	}
	for _, c := range []struct {
		id, value     string
		rows, columns int
	}{
		{"f-q", "DEMO", 1, columns},
		{"f-q", "reyes corp", 1, columns}, // name and login
		{"f-q", strings.ToLower(string(oid(12))), 1, columns},
		{"f-q", "nobody", 0, columns},
		{"f-p", "monitor", 6, 3},
		{"f-p", "70", 6, 1},
		{"f-k", "group", 2, columns},
		{"f-o", "in-sync", 1, columns},
		{"f-s", "m", 3, columns},
		{"f-s", "f", 2, columns},
		{"f-s", "msf", 5, columns},
		{"f-s", "ib", 2, columns},
		{"f-s", "dibsf", 6, columns},
	} {
		b.set(t, c.id, c.value)
		rows, sections, cols := eval[int](t, b, shownRows), eval[int](t, b, shownSections), eval[int](t, b, shownColumns)
		if rows != c.rows || sections != c.rows || cols != c.columns {
			t.Errorf("%s = %q shows %d rows, %d sections, %d columns; want %d, %d, %d", c.id, c.value, rows, sections, cols, c.rows, c.rows, c.columns)
		}
		if want := fmt.Sprintf("%d of 6 principals and %d of %d privileges shown.", c.rows, c.columns, columns); eval[string](t, b, status) != want {
			t.Errorf("%s = %q is announced as %q, want %q", c.id, c.value, eval[string](t, b, status), want)
		}
		b.do(t, chromedp.Click("#filters button[type=reset]"))
		b.settled(t)
		if n := eval[int](t, b, shownRows); n != 6 {
			t.Errorf("after a reset %d rows are shown, want 6", n)
		}
	}
	// Filters combine: who holds a privilege named "web" although it is forbidden.
	b.set(t, "f-p", "web")
	b.set(t, "f-s", "f")
	if n, who := eval[int](t, b, shownRows), eval[string](t, b, firstRow); n != 1 || who != "Contractors" {
		t.Errorf("forbidden web privileges: %d rows, the first %s", n, who)
	}
	// They stand in the address, and an address that has them shows the same.
	if got := eval[string](t, b, "location.hash"); got != "#p=web&s=f" {
		t.Errorf("the address says %q", got)
	}
	b.do(t, chromedp.Click("#filters button[type=reset]"))
	b.settled(t)
	if got := eval[string](t, b, "location.hash"); got != "" {
		t.Errorf("after a reset the address says %q", got)
	}
	eval[bool](t, b, `(location.hash = "#q=demo&s=nonsense", true)`)
	b.settled(t)
	if n, q, s := eval[int](t, b, shownRows), eval[string](t, b, `document.getElementById("f-q").value`), eval[string](t, b, `document.getElementById("f-s").value`); n != 1 || q != "demo" || s != "" {
		t.Errorf("the address #q=demo shows %d rows, the fields say %q and %q", n, q, s)
	}
	b.do(t, chromedp.Navigate("about:blank"), chromedp.Navigate("file://"+b.file+"#q=demo"), chromedp.WaitVisible("#filters"))
	b.settled(t)
	if n := eval[int](t, b, shownRows); n != 1 {
		t.Errorf("opened with #q=demo the page shows %d rows", n)
	}
	b.blameless(t)
}

// tellsSources: an inherited cell says which groups it comes from.
func (c chromium) tellsSources(t *testing.T, dataFrom int) {
	b := c.open(t, htmlOf(t, sampleAudit(), HTMLOptions{Names: catalogue(), DataFrom: dataFrom}), true)
	eval[bool](t, b, `(() => { const e = document.querySelector("#grid td.i, #grid td.b"); e.dispatchEvent(new MouseEvent("mouseover", {bubbles: true})); e.click(); return true; })()`)
	title := eval[string](t, b, `document.querySelector("#grid td.i, #grid td.b").title`)
	if !strings.Contains(title, "inherited through group \"") || eval[string](t, b, `document.getElementById("cell").textContent`) != title {
		t.Errorf("an inherited cell says %q, and the line above %q", title, eval[string](t, b, `document.getElementById("cell").textContent`))
	}
	b.blameless(t)
}

// namesTheWorst: who drifted is named where attention is asked for, and
// leads to its section.
func (c chromium) namesTheWorst(t *testing.T, dataFrom int) {
	b := c.open(t, htmlOf(t, believable(12, 80, 40), HTMLOptions{Names: bigCatalogue(), DataFrom: dataFrom}), true)
	if n := eval[int](t, b, `document.querySelector("#attention .worst").querySelectorAll("a").length`); n == 0 || n > worstShown {
		t.Fatalf("%d principals are named", n)
	}
	eval[bool](t, b, `(document.querySelector("#attention .worst a").click(), true)`)
	b.settled(t)
	name := eval[string](t, b, `document.querySelector("#attention .worst a").textContent`)
	hash := eval[string](t, b, "location.hash")
	if name == "" || !strings.HasPrefix(hash, "#p") || eval[string](t, b, `document.querySelector(location.hash + " h3 bdi").textContent`) != name {
		t.Errorf("the link of %s leads to %q", name, hash)
	}
	b.blameless(t)
}

func (c chromium) sorts(t *testing.T, dataFrom int) {
	b := c.open(t, htmlOf(t, sampleAudit(), HTMLOptions{Names: catalogue(), DataFrom: dataFrom}), true)
	click := func(selector string) string {
		t.Helper()
		b.do(t, chromedp.Click(selector+" button"))
		return eval[string](t, b, firstRow)
	}
	for _, c := range []struct{ selector, first, again string }{
		{"#grid th[data-sort=name]", "Anna Smith", "Night Shift"},
		{"#grid th[data-sort=held]", "Night Shift", "Demo User"},
		{`#grid th[title^="70 "]`, "Contractors", ""},
		{`#grid th[title^="5 "]`, "Maria Reyes", ""},
	} {
		if got := click(c.selector); got != c.first {
			t.Errorf("sorted by %s the first is %s, want %s", c.selector, got, c.first)
		}
		if got := eval[string](t, b, fmt.Sprintf(`document.querySelector(%q).getAttribute("aria-sort")`, c.selector)); got != "ascending" {
			t.Errorf("%s has aria-sort %q", c.selector, got)
		}
		if got := click(c.selector); c.again != "" && got != c.again {
			t.Errorf("sorted down by %s the first is %s, want %s", c.selector, got, c.again)
		}
	}
	if n := eval[int](t, b, `document.querySelectorAll("[aria-sort]").length`); n != 1 {
		t.Errorf("%d columns say that they are sorted, want 1", n)
	}
	b.blameless(t)
}

// keyboard: every control can be reached by the tab key, the skip
// link first.
func (c chromium) keyboard(t *testing.T) {
	b := c.open(t, htmlOf(t, sampleAudit(), HTMLOptions{}), true)
	var reached []string
	for range 24 {
		b.do(t, chromedp.KeyEvent("\t"))
		reached = append(reached, eval[string](t, b, `(() => { const e = document.activeElement; return e.id || e.className || e.getAttribute("href") || e.tagName; })()`))
	}
	all := " " + strings.Join(reached, " ") + " "
	for _, want := range []string{"skip", "#summary", "#matrix", "f-q", "f-p", "f-k", "f-o", "f-s", "scroll", "BUTTON"} {
		if !strings.Contains(all, " "+want+" ") {
			t.Errorf("%s is not reached by the tab key; reached: %s", want, all)
		}
	}
	if reached[0] != "skip" {
		t.Errorf("the first stop is %s, want the skip link", reached[0])
	}
}

// hostile: nothing that stands in a document runs, whatever place it stands in, and it
// can be read where it stands.
func (c chromium) hostile(t *testing.T, dataFrom int) {
	at := 0
	all := payloads()
	next := func() string { at++; return all[at%len(all)] + marker + all[(at/len(all)+at)%len(all)] }
	for _, doc := range []any{hostilePlan(40, next), hostileReport(25, next)} {
		b := c.open(t, htmlOf(t, doc, HTMLOptions{Guards: hostileGuards(40, next), DataFrom: dataFrom}), true)
		b.set(t, "f-q", "<script>")
		if n := eval[int](t, b, shownSections); n == 0 {
			t.Errorf("%T: no principal named <script> is found", doc)
		}
		b.set(t, "f-q", "")
		b.do(t, chromedp.Click("#grid th[data-sort=name] button"))
		if got := eval[[]string](t, b, `[...new Set([...document.querySelectorAll("img, iframe, object, embed, link, base, script, style, svg *")].map((e) => e.localName))].sort()`); strings.Join(got, " ") != "desc rect script style text title" {
			t.Errorf("%T: the page has the elements %v", doc, got)
		}
		if n := eval[int](t, b, `[...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length`); n != 0 {
			t.Errorf("%T: %d elements have event handlers", doc, n)
		}
		b.blameless(t)
	}
}

// asksForNothing: served by a web server, the page asks it for
// nothing but itself.
func (c chromium) asksForNothing(t *testing.T) {
	page := htmlOf(t, sampleReport(), HTMLOptions{})
	var mu sync.Mutex
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	}))
	defer s.Close()
	b := c.open(t, page, true)
	b.served = s.URL + "/report"
	b.do(t, chromedp.Navigate(b.served), chromedp.WaitVisible("#filters"))
	b.settled(t)
	b.blameless(t)
	mu.Lock()
	defer mu.Unlock()
	if strings.Join(asked, " ") != "/report" {
		t.Errorf("the page asked for %q, want only itself", asked)
	}
}

// withoutJavaScript: everything can be read, and nothing that needs
// the script is offered.
func (c chromium) withoutJavaScript(t *testing.T) {
	b := c.open(t, htmlOf(t, sampleReport(), HTMLOptions{}), false)
	text := run(t, b, chromedp.Text("body"))
	for _, want := range []string{"Needs attention", "Who holds what", "Night Shift", "ERR017", "ticket 6d0c51", "assign-watch-kpi-insight"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q cannot be read without JavaScript", want)
		}
	}
	if strings.Contains(text, "name, login or id") || strings.Contains(text, "Reset") {
		t.Error("the filters are offered without JavaScript")
	}
	b.silent(t)
}

// onPaper: where the matrix is too wide for paper, the sections show
// what everybody holds, also those that are folded on the screen.
func (c chromium) onPaper(t *testing.T) {
	b := c.open(t, htmlOf(t, believable(12, 40, 90), HTMLOptions{Names: bigCatalogue()}), true)
	const folded = `[...document.querySelectorAll("article .graph")].filter((e) => !e.checkVisibility()).length`
	if eval[int](t, b, folded) == 0 {
		t.Fatal("nobody is folded on the screen: this shows nothing")
	}
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	if eval[bool](t, b, `document.querySelector(".scroll").checkVisibility()`) {
		t.Fatal("the matrix is not too wide for paper: this shows nothing")
	}
	if n := eval[int](t, b, folded); n != 0 {
		t.Errorf("%d principals are folded on paper, want 0", n)
	}
}

// largeAudit: with 2,000 principals the page is there within 3 s, draws what
// is seen, and a filter answers at once.
func (c chromium) largeAudit(t *testing.T) {
	if testing.Short() {
		t.Skip("a page of some megabytes")
	}
	b := c.open(t, htmlOf(t, believable(24, 1976, 60), HTMLOptions{Names: bigCatalogue()}), true)
	loaded := eval[float64](t, b, `performance.getEntriesByType("navigation")[0].loadEventEnd`)
	elements := eval[int](t, b, `document.querySelectorAll("*").length`)
	t.Logf("loaded in %.0f ms, %d elements", loaded, elements)
	if loaded > 3000 || elements > 30_000 {
		t.Errorf("loaded in %.0f ms with %d elements, want 3 s and 30,000", loaded, elements)
	}
	for _, c := range []struct{ id, value string }{{"f-q", "tanaka"}, {"f-p", "monitor"}, {"f-q", ""}, {"f-s", "f"}} {
		start := time.Now()
		b.set(t, c.id, c.value)
		t.Logf("%s = %q: %v, %s", c.id, c.value, time.Since(start).Round(time.Millisecond), eval[string](t, b, status))
	}
	b.do(t, chromedp.Click("#filters button[type=reset]"))
	b.settled(t)
	if got := eval[string](t, b, status); !strings.HasPrefix(got, "2000 of 2000 principals") {
		t.Errorf("after a reset it says %q", got)
	}
	// The end of the matrix is drawn when it is scrolled to, and so is the middle.
	for _, at := range []string{"e.scrollHeight", "e.scrollHeight / 2", "0"} {
		eval[bool](t, b, `(() => { const e = document.querySelector(".scroll"); e.scrollTop = `+at+`; return true; })()`)
		b.settled(t)
		if !eval[bool](t, b, `(() => { const box = document.querySelector(".scroll").getBoundingClientRect();
			const e = document.elementFromPoint(box.left + 100, Math.min(box.bottom, innerHeight) - 40); return !!e.closest("tr[data-at]") || box.top > innerHeight; })()`) {
			t.Errorf("scrolled to %s nothing is drawn", at)
		}
	}
	sections := eval[int](t, b, shownSections)
	eval[bool](t, b, `(document.getElementById("more").click(), true)`)
	b.settled(t)
	if n := eval[int](t, b, shownSections); n != 2*sections {
		t.Errorf("%d sections, after asking for more %d", sections, n)
	}
	// On paper there is the plain list instead.
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	if n := eval[int](t, b, `[...document.querySelectorAll("ul.plain > li")].filter((e) => e.checkVisibility()).length`); n != 2000 {
		t.Errorf("on paper %d principals are listed, want 2000", n)
	}
	b.blameless(t)
}

// largeWithoutJavaScript: everybody is listed with what is to be done.
func (c chromium) largeWithoutJavaScript(t *testing.T) {
	b := c.open(t, htmlOf(t, sampleReport(), HTMLOptions{DataFrom: 1}), false)
	text := run(t, b, chromedp.Text("body"))
	for _, want := range []string{"Needs attention", "Night Shift", "ERR017", "assign-watch-kpi-insight", "Demo User (demo): "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q cannot be read without JavaScript", want)
		}
	}
	b.silent(t)
}

// TestScreenshots writes pictures of believable pages into the folder named by
// PRIVSYNC_SCREENSHOTS, to be looked at by a person.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("PRIVSYNC_SCREENSHOTS")
	if dir == "" {
		t.Skip("PRIVSYNC_SCREENSHOTS names no folder")
	}
	c := startChromium(t)
	for name, page := range map[string]string{
		"audit":  htmlOf(t, believable(12, 48, 56), HTMLOptions{Names: bigCatalogue()}),
		"plan":   htmlOf(t, samplePlan(), HTMLOptions{Guards: sampleGuards()}),
		"report": htmlOf(t, sampleReport(), HTMLOptions{}),
		"empty":  htmlOf(t, emptyPlan(), HTMLOptions{}),
		"big":    htmlOf(t, believable(24, 1976, 60), HTMLOptions{Names: bigCatalogue()}),
	} {
		b := c.open(t, page, true)
		shoot := func(as string) {
			b.settled(t)
			if err := os.WriteFile(filepath.Join(dir, name+"-"+as+".png"), run(t, b, chromedp.CaptureScreenshot()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		scheme := func(v string) {
			call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v}}})
		}
		to := func(id string) {
			eval[bool](t, b, `(() => { document.documentElement.style.scrollBehavior = "auto"; scrollTo(0, 0); document.getElementById("`+id+`")?.scrollIntoView(); return true; })()`)
		}
		for _, s := range []string{"light", "dark"} {
			scheme(s)
			for _, id := range []string{"", "attention", "summary", "matrix", "principals"} {
				to(id)
				shoot(s + "-" + id)
			}
		}
		scheme("light")
		b.do(t, chromedp.EmulateViewport(390, 844))
		for _, id := range []string{"", "matrix", "principals"} {
			to(id)
			shoot("phone-" + id)
		}
		if name == "big" {
			continue
		}
		pdf := run(t, b, chromedp.PrintToPDF(chromedp.PDFPrintBackground(), chromedp.PDFPreferCSSPageSize()))
		if err := os.WriteFile(filepath.Join(dir, name+".pdf"), pdf, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
