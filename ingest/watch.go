package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Names of watched files and results of reading them again, as metric labels.
const (
	fileSecrets     = "secrets"
	fileCertificate = "certificate"
	reloadOK        = "ok"
	reloadBad       = "bad"
)

// watched is a group of files that are used together, such as a certificate and its key.
//
// Their content is what is compared, not their times and not events: so a replaced symlink (Kubernetes swaps ..data), a
// network file system and an edit within one tick are all seen, and a touched file is not.
type watched struct {
	what  string
	paths []string
	// apply puts the contents, one a path, to use, or refuses them all and changes nothing.
	apply func(contents [][]byte) error

	inUse, seen [sha256.Size]byte // of the contents in use or refused, and of those of the last look
	bad         bool              // the last look found them unusable
}

// load reads the files and applies them. For the start, where an error is fatal.
func (w *watched) load() error {
	contents, sum, err := w.read()
	if err != nil {
		return err
	}
	w.inUse, w.seen = sum, sum
	return w.apply(contents)
}

func (w *watched) read() (contents [][]byte, sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for _, path := range w.paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, sum, fmt.Errorf("read %s: %w", w.what, err)
		}
		fmt.Fprintf(h, "%d:", len(b))
		h.Write(b)
		contents = append(contents, b)
	}
	return contents, [sha256.Size]byte(h.Sum(nil)), nil
}

// errSame: nothing new, or not yet twice the same. A file that is being written may be read half, and half a secret file is
// a valid one: so new content counts once two looks have found it alike.
var errSame = errors.New("nothing new")

// look applies new content. Other errors than errSame say why it could not be; what was in use stays in use.
func (w *watched) look() error {
	contents, sum, err := w.read()
	if err != nil {
		if w.bad { // said once
			return errSame
		}
		w.bad = true
		return err
	}
	fresh := w.seen != sum
	w.seen = sum
	if fresh || sum == w.inUse {
		if sum == w.inUse {
			w.bad = false
		}
		return errSame
	}
	w.inUse = sum
	err = w.apply(contents)
	w.bad = err != nil
	return err
}

// watcher looks at files until its context ends.
type watcher struct {
	every   time.Duration
	files   []*watched
	reloads *prometheus.CounterVec
	log     zerolog.Logger
}

func (w *watcher) run(ctx context.Context) {
	if len(w.files) == 0 {
		return
	}
	for sleep(ctx, w.every) {
		for _, f := range w.files {
			switch err := f.look(); {
			case errors.Is(err, errSame):
			case err != nil:
				w.reloads.WithLabelValues(f.what, reloadBad).Inc()
				w.log.Error().Str("file", f.what).Err(err).Msg("changed file not usable: the old content stays in use")
			default:
				w.reloads.WithLabelValues(f.what, reloadOK).Inc()
				w.log.Info().Str("file", f.what).Msg("changed file in use")
			}
		}
	}
}
