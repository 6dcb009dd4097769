package main

func newBackfill() *command { return (&command{name: "backfill"}).withCommon() }
func newCheck() *command    { return (&command{name: "check"}).withCommon() }
