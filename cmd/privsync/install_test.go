package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Where make install puts things is told by PREFIX, or by prefix as elsewhere.
func TestInstallPrefix(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "to='/usr/local'"},
		{[]string{"PREFIX=/a"}, "to='/a'"},
		{[]string{"prefix=/b"}, "to='/b'"},
		{[]string{"prefix=/b", "DESTDIR=/c"}, "to='/c/b'"},
	} {
		cmd := exec.Command("make", append([]string{"-n", "install"}, c.args...)...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")} // no PREFIX, no flags of a make above
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), c.want) {
			t.Errorf("make -n install %q: no %s in\n%s", c.args, c.want, out)
		}
	}
}
