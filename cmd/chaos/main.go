package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func main() {
	local.Init() // this binary is also what runs ClickHouse

	// The first Ctrl-C ends the context, and with it everything in good order; the second kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(command(ctx, os.Args, os.Stdout, os.Stderr))
}
