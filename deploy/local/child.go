package local

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// The hidden commands: the first argument with which this binary starts itself.
const (
	clickhouseCommand = "leadhouse-local-clickhouse" // LIBRARY ARGS…: become ClickHouse
	guardCommand      = "leadhouse-local-guard"      // COMMAND ARGS…: run it no longer than the parent lives
)

// initCalled says that Init has run, so that a child of this binary would be caught by it. Without that check a test binary whose TestMain forgets Init would start itself without end.
var initCalled atomic.Bool

// Init turns this process into ClickHouse if it was started as such, and then never returns. Otherwise it returns at once.
//
// The local stack runs ClickHouse by starting its own binary again. So Init must be the first statement of main, and of the TestMain of each package whose tests start one: before flags are parsed, before anything is opened.
func Init() {
	initCalled.Store(true)
	if len(os.Args) < 3 {
		return
	}
	var code int
	switch os.Args[1] {
	case clickhouseCommand:
		code = becomeClickHouse(os.Args[2], os.Args[3:])
	case guardCommand:
		code = guard(os.Args[2:])
	default:
		return
	}
	os.Exit(code)
}

// becomeClickHouse runs clickhouse-local out of libchdb until its last query ends, which is when standard input does.
func becomeClickHouse(path string, args []string) int {
	// ClickHouse is asked to end by the end of its input, and made to by SIGKILL. The Go runtime's own answer to these two would be to exit in the middle of a merge.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	if err := runLibrary(path, args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runLibrary calls chdb_query_cmdline(argc, argv), which is clickhouse-local's main function.
func runLibrary(path string, args []string) error {
	runtime.LockOSThread() // ClickHouse keeps the state of a query in thread-local variables
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("load ClickHouse: %w", err)
	}
	var (
		enableSignalHandlers func(int32)
		queryCmdline         func(argc int32, argv unsafe.Pointer) uintptr
		resultError          func(result uintptr) string
	)
	purego.RegisterLibFunc(&enableSignalHandlers, lib, "chdb_set_signal_handlers_enabled")
	purego.RegisterLibFunc(&queryCmdline, lib, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, lib, "chdb_result_error")

	enableSignalHandlers(0) // its crash handlers and the Go runtime's cannot both have the signals
	argv := []*byte{cString("clickhouse")}
	for _, a := range args {
		argv = append(argv, cString(a))
	}
	argv = append(argv, nil) // C wants argv[argc] == NULL
	result := queryCmdline(int32(len(argv)-1), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result == 0 {
		return errors.New("ClickHouse did not start")
	}
	if msg := resultError(result); msg != "" {
		return errors.New(msg)
	}
	return nil
}

func cString(s string) *byte {
	b := append([]byte(s), 0)
	return &b[0]
}
