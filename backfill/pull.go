package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/leadhouse/leadhouse/schema"
)

// maxCatalogBytes bounds a catalog: Leadron's is 3 KB, and the 1,000 events schema takes would have 8 KB each.
const maxCatalogBytes = 8 << 20

// Pull gets the catalog as Run does, says where from, and changes nothing. It needs no ClickHouse.
func Pull(ctx context.Context, cfg Config) (c *schema.Catalog, source string, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validateAPI(); err != nil {
		return nil, "", err
	}
	return (&Backfill{cfg}).pull(ctx)
}

// pull gets the catalog and says where from, as the table catalog has it.
func (b *Backfill) pull(ctx context.Context) (c *schema.Catalog, source string, err error) {
	var body []byte
	switch b.cfg.Catalog {
	case "":
		return b.pullAPI(ctx)
	case Builtin:
		source, body = Builtin, schema.BuiltinCatalog()
	default:
		source = b.cfg.Catalog
		if body, err = readFile(source); err != nil {
			return nil, "", err
		}
	}
	if c, err = schema.DecodeCatalog(body); err != nil {
		return nil, "", fmt.Errorf("catalog %s: %w", source, err)
	}
	return c, source, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := readBounded(f)
	if err != nil {
		return nil, fmt.Errorf("catalog %s: %w", path, err)
	}
	return body, nil
}

var errTooLarge = errors.New("larger than 8 MiB, which no catalog is")

// readBounded reads all, or fails: half a catalog is not taken for a whole one.
func readBounded(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxCatalogBytes+1))
	if err == nil && len(body) > maxCatalogBytes {
		return nil, errTooLarge
	}
	return body, err
}
