package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/policy"
)

// mayBeEmpty is the annotation of a flag whose empty value means something.
const mayBeEmpty = "privsync_may_be_empty"

// allowEmpty says that the empty value of the flag means something.
func allowEmpty(fs *pflag.FlagSet, flag string) {
	f := fs.Lookup(flag)
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[mayBeEmpty] = []string{""}
}

// nothingEmpty refuses what the command line gives as nothing: most often a shell
// variable that is not set, and to take it for "not given" would choose what nobody
// meant.
func nothingEmpty(cmd *cobra.Command, args []string) error {
	if strings.HasPrefix(cmd.Name(), cobra.ShellCompRequestCmd) {
		return nil // the word that the shell completes may be empty
	}
	for i, arg := range args {
		if strings.TrimSpace(arg) == "" {
			return hinted(fmt.Errorf("argument %d of %s is empty", i+1, cmd.CommandPath()),
				"is a variable of the shell not set? usage: "+cmd.UseLine())
		}
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if err != nil || f.Annotations[mayBeEmpty] != nil {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
			err = hinted(fmt.Errorf("--%s is empty", f.Name), fmt.Sprintf("leave --%s out if nothing is meant; is a variable of the shell not set?", f.Name))
		}
	})
	return err
}

// The flags that name files: what a command writes, and what it reads.
var (
	outputFlags = []string{"out", "report", "save", "html", "metrics-file", "log"}
	inputFlags  = []string{"file", "password-file", "api-token-file", "ca-file", "client-cert", "client-key", "catalog", "environment", "allowed-signers", "key", "sign-key"}
)

// filesApart refuses an output that is one of the files that are read, or that
// another output is: it would be lost, and often before it was read. It refuses "-",
// which elsewhere means stdin or stdout, too.
func filesApart(cmd *cobra.Command, args []string) error {
	var read []string
	names := map[string]string{} // what a read file was given as
	note := func(path, as string) {
		read = append(read, path)
		names[path] = as
	}
	for _, flag := range inputFlags {
		f := cmd.Flags().Lookup(flag)
		if f == nil {
			continue
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = policy.Files(list.GetSlice())
		}
		for _, v := range values {
			if v != "" && v != "-" {
				note(v, "--"+flag)
			}
		}
	}
	for _, arg := range args {
		if arg != "-" {
			note(arg, "the argument")
		}
	}
	written := map[string]string{}
	for _, flag := range outputFlags {
		f := cmd.Flags().Lookup(flag)
		if f == nil || f.Value.String() == "" {
			continue
		}
		out := f.Value.String()
		if out == "-" {
			return hinted(fmt.Errorf("--%s - would be a file of that name", flag), "stdout is what a command writes to without a file's name; a file that is called - is named ./-")
		}
		for _, in := range read {
			if sameFile(out, in) {
				return hinted(fmt.Errorf("--%s %s would overwrite what %s reads: %s", flag, out, names[in], in), "name another file")
			}
		}
		for other, as := range written {
			if sameFile(out, other) {
				return hinted(fmt.Errorf("--%s and --%s both name %s", as, flag, out), "name two files")
			}
		}
		written[out] = flag
	}
	return nil
}

// sameFile reports whether two paths name one regular file, or will when it is
// written. A device or a pipe takes as many writers as there are.
func sameFile(a, b string) bool {
	one, errA := os.Stat(a)
	two, errB := os.Stat(b)
	switch {
	case errA == nil && errB == nil:
		return one.Mode().IsRegular() && os.SameFile(one, two)
	case errors.Is(errA, fs.ErrNotExist) && errors.Is(errB, fs.ErrNotExist):
		x, errX := filepath.Abs(a)
		y, errY := filepath.Abs(b)
		return errX == nil && errY == nil && x == y
	}
	return false
}
