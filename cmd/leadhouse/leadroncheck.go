package main

import (
	"context"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/schema"
)

// lookAtLeadron pulls the catalog as backfill does, whose errors say what to do.
func (j *checkJob) lookAtLeadron(ctx context.Context) {
	const what = "leadron"
	var catalog *schema.Catalog
	err := j.ask(ctx, func(ctx context.Context) (err error) {
		catalog, _, err = backfill.Pull(ctx, backfill.Config{
			APIURL: j.leadron.url, APIKey: j.leadron.key, PullTimeout: j.timeout, Version: build().version,
			RetryMin: 100 * time.Millisecond, RetryMax: time.Second, // somebody waits for the answer
		})
		return err
	})
	if err != nil {
		for _, problem := range j.leadronSettings.rename("backfill", err) {
			j.report.bad(what, problem.Error(), "")
		}
		return
	}
	j.report.ok(what, "%s takes the key; its catalog has %d event types", j.leadron.url, len(catalog.Events))
	for _, finding := range schema.Infer(catalog).Findings {
		j.report.warn(what, finding, "")
	}
}
