package main

// Main is what the binary runs.
var Main = main
