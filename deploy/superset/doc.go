// Package superset is the dashboard "Leadron" for Apache Superset, as Superset exports it, unpacked in leadron. README.md says
// how it is imported. The package's tests have the build tag bi.
//
// # Promises, each kept by a test with a real Superset, a real browser, and every event delivered more than once
//
//   - It can be imported: into Superset 6.1 with the versions of requirements.txt, for a user who may only read.
//   - **Every chart shows what SQL answers**: its rows are those of a query that is asked past Superset, and counts and sums
//     are those of the events, counted by their IDs.
//   - No chart adds up amounts of two currencies: those that show money are grouped by currency.
//   - The datasets have the views' columns with the views' comments.
//   - Nothing in it is a secret: the connection has a user and no password.
//
// # Changing it
//
// Change the files, or change it in a Superset, export it and unpack it here. A view's new column, a chart's new question:
//
//	go test -tags bi ./deploy/superset -update
//
// imports leadron, lets Superset read the views again and the browser ask each chart's questions, exports all that into leadron,
// and takes dashboard.png.
package superset
