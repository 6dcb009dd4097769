// Package local runs leadhouse's engines on one machine without Docker: for `make demo`, the tests and the benches.
package local
