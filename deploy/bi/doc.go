// Package bi is what the tests of the shipped dashboards and of real BI clients stand on: a warehouse in which a client that
// counts a delivery twice is found out, and the clients themselves, fetched once.
//
//	Warehouse   a real ClickHouse, set up by backfill and filled as sink fills it, with every duplicate there can be
//	Venv        a Python environment of a requirements.txt
//	Npm         node_modules of a package.json
//	Maven       the jars of a pom.xml
//	Chromium    the browser
//	Output      runs a command
//
// The tests themselves have the build tag bi, because they fetch hundreds of megabytes: make test-bi.
//
// # Promises
//
//   - **A client that is fooled by redelivery fails.** Every event table, the ledger and dead_letters hold rows that FINAL
//     leaves out, in parts that never merge.
//   - **Nothing is skipped.** A tool that is missing is a failure that says what to install.
//
// # What happens when
//
//	two test processes want an environment    one makes it, the other waits (flock)
//	a process is killed while it makes one    the next begins anew: an environment counts only once its last file is there
//	a pinned version changes                  another environment: the pins are its name
//	the cache is deleted                      all is fetched again
package bi
