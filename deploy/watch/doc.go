// Package watch is how an operator sees leadhouse at work: metrics, alerts, dashboards, and the tests of them. There is no code:
// Prometheus and Grafana read the files.
//
//	prometheus/    prometheus.yml, a scrape example; leadhouse.rules.yml and clickhouse.rules.yml, the alerts; tests/ of both
//	grafana/       leadhouse-overview, -ingest, -sink and -clickhouse: dashboards over Prometheus (those over ClickHouse's views
//	               are deploy/grafana's)
//	runbooks.md    for each alert what it means, how to look, what to do
//
// # Promises
//
//   - **Nothing fires on an installation that is fresh and idle**, and each alert fires on what it is for: both are tests.
//   - **Every metric, label and query in here is there in the running processes**: the tests ask a real Prometheus that scrapes
//     ingest, sink and ClickHouse. What is empty on a healthy system is listed there with its reason.
//   - Every alert has a severity, a reason for each of its numbers, and a runbook.
//
// # What happens when
//
//	the jobs have other names      LeadhouseIngestDown, LeadhouseSinkDown and LeadhouseClickHouseDown see nothing; the others do
//	ClickHouse is not scraped      leave clickhouse.rules.yml out: the sink's alerts say when it does not take rows
//	one Prometheus has several     alerts and sums are by namespace, job and account
//	  installations
//	Prometheus itself is away      nothing here says so: let something else watch it (a dead man's switch)
//
// The tests that need Debian's prometheus have the build tag deploy: make test-deploy.
package watch
