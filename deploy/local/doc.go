// Package local runs leadhouse's surroundings on one machine, without Docker and without installing anything: for `make demo`, the tests and the benches. Not for production.
//
// **The engines are real.** ClickHouse is ClickHouse, Apache Kafka is Apache Kafka, and kfake answers Kafka's protocol to the same clients. The one fake is Leadron, which nobody here can call: [Leadron] serves its catalog, [Sender] its webhooks, [Journeys] what they tell.
//
//	StartClickHouse   a server in a child process, supervised; `clickhouse` from the PATH, else libchdb from npm
//	StartKfake        a Kafka cluster in this process, with faults to inject
//	StartApache       a real broker in a JVM (Java 17; Maven the first time)
//	StartTerminator   TLS before ClickHouse, with any certificate
//	StartLeadron      the catalog endpoint, and what can go wrong with it
//	NewSender         signs, posts, retries, repeats, forges; its journal says what must be in the warehouse
//	Journeys          believable deliveries in order of time, by the million
//	StartProgram      any command, with a child's guarantees
//	StartProxy        a TCP connection that cuts, stalls, delays, half-closes, and loses answers
//
// # Use
//
// ClickHouse runs in a copy of the calling binary. So [Init] must be the first statement of main, and of TestMain:
//
//	func TestMain(m *testing.M) {
//		local.Init()
//		goleak.VerifyTestMain(local.Tests(m)) // ends the shared server after the tests
//	}
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		ch := local.Shared(t)   // one server for all tests of the process, 0.1 s to start
//		db := ch.Database(t)    // dropped at the test's end
//		conn, err := ch.Open(t.Context())
//		…
//	}
//
// A test that kills or pauses an engine starts one for itself. [Kfake] and [Apache] have Brokers, CreateTopic and Stop in common, so that a test can be given either.
//
// # What happens when
//
//	this process is killed (kill -9)     every child dies with it, a stopped one too: PR_SET_PDEATHSIG on Linux, the end of a pipe elsewhere; temporary data are removed by the next start of anything
//	ClickHouse ends by itself            started again on the same data and ports; counted (Restarts) and told (OnRestart), so that a test that meets it says so
//	ClickHouse is killed by a test       stays down until Restart; acknowledged rows are there
//	a client of ClickHouse is killed     the relay before the native port makes an orderly end of it: without, the embedded server aborts (see relay.go)
//	a wanted port is taken               Progress says which; another is used
//	several processes start at once      one downloads, the others wait for it (flock)
//	a download is cut off, or not what   nothing is left that could be taken for an engine
//	  was pinned
//	neither clickhouse nor npm           an error that names the ways out
//	Kafka is away for a while            Kfake.Stop and Reopen with a DataDir; Apache.Kill or Pause, and Restart or Continue
//
// # What differs from production
//
// The embedded ClickHouse is clickhouse-local in its server mode: no CREATE USER, no ON CLUSTER, no replica fetches, no TLS listener (see terminator.go), no system logs unless ServerXML asks for them. It has two users without passwords, default and bi, both from this machine only. kfake has no in-sync replicas to wait for and loses what it has in memory. The sender retries as webhook senders do; how Leadron does is not stated anywhere.
//
// Downloads are kept in leadhouse within the user's cache directory: 570 MB of ClickHouse, 45 MB of Kafka. Ports are chosen between 20000 and 32000.
package local
