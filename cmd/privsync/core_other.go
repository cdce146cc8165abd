//go:build !unix

package main

func forbidCore() {}
