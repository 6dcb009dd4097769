package schema

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
)

// Catalog is what Leadron says its webhooks are: GET /v1/integrations/webhooks/catalog (Events page, "Catalog Endpoint").
type Catalog struct {
	Events []CatalogEvent // in the response's order: group by group
}

// CatalogEvent is one event type.
type CatalogEvent struct {
	Group       string          // "leads"
	Type        string          // "lead.created"; the endpoint calls it event, deliveries call it type
	Description string          // one English sentence
	Example     json.RawMessage // an object: the data of a delivery, without its envelope
}

//go:embed catalog.json
var builtinCatalog []byte

// BuiltinCatalog is the response the Events page prints, 14 events, as it was on 2026-05-27.
func BuiltinCatalog() []byte { return builtinCatalog }

// maxCatalogEvents bounds what one catalog may create: far above Leadron's 14, far below what would hurt ClickHouse.
const maxCatalogEvents = 1000

// DecodeCatalog reads the endpoint's response. The order of groups and events is kept, since columns are named in it.
// The error says what is not as the Events page prints it.
func DecodeCatalog(body []byte) (*Catalog, error) {
	if !json.Valid(body) {
		return nil, errors.New("the response is not JSON: is this the catalog endpoint, and the whole answer?")
	}
	var c Catalog
	s := scanner{b: body}
	if s.peek() != '{' {
		return nil, errors.New("the response is not a JSON object")
	}
	found := false
	err := s.object(func(key span) error {
		name, _ := unquote(key)
		if name == "data" && s.peek() == '{' {
			found = true
			return c.groups(&s)
		}
		v, err := s.value()
		if name == "success" && string(v.raw) == "false" {
			return errors.New("the response says success: false")
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, errors.New("the response has no object data, in which the catalog's groups stand")
	case len(c.Events) == 0:
		return nil, errors.New("the catalog holds no event")
	}
	return &c, c.unique()
}

func (c *Catalog) groups(s *scanner) error {
	return s.object(func(key span) error {
		group, _ := unquote(key)
		if s.peek() != '[' {
			return fmt.Errorf("data.%s is not an array of events", group)
		}
		return s.array(func() error {
			v, err := s.value()
			if err != nil {
				return err
			}
			return c.add(group, v.raw)
		})
	})
}

func (c *Catalog) add(group string, raw []byte) error {
	var item struct {
		Event       string          `json:"event"`
		Description string          `json:"description"`
		Example     json.RawMessage `json:"examplePayload"`
	}
	at := fmt.Sprintf("event %d of data.%s", len(c.Events)+1, group)
	if err := json.Unmarshal(raw, &item); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if item.Event == "" {
		return fmt.Errorf("%s has no event, the type's name", at)
	}
	if item.Example == nil || string(item.Example) == "null" {
		item.Example = json.RawMessage("{}")
	}
	if item.Example[0] != '{' {
		return fmt.Errorf("%s (%.64q): examplePayload is not an object", at, item.Event)
	}
	if len(c.Events) == maxCatalogEvents {
		return fmt.Errorf("more than %d events", maxCatalogEvents)
	}
	c.Events = append(c.Events, CatalogEvent{group, item.Event, item.Description, item.Example})
	return nil
}

func (c *Catalog) unique() error {
	seen := map[string]bool{}
	for _, e := range c.Events {
		if seen[e.Type] {
			return fmt.Errorf("the catalog names %.64q twice", e.Type)
		}
		seen[e.Type] = true
	}
	return nil
}
