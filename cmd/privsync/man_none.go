//go:build !man

package main

import "github.com/spf13/cobra"

// addMan adds nothing: the manual pages are made at build time, by a program that is
// built with -tags man, and what makes them is no part of the one that is shipped.
func addMan(*app, *cobra.Command) {}
