package local

import (
	"encoding/json"
	"fmt"
	"slices"
)

// catalogResponse is the endpoint's answer as far as it is changed here; the rest is carried along.
type catalogResponse struct {
	Success bool                      `json:"success"`
	Status  int                       `json:"status"`
	Message string                    `json:"message"`
	Data    map[string][]catalogEvent `json:"data"`
	Meta    json.RawMessage           `json:"meta,omitempty"`
}

type catalogEvent struct {
	Event          string          `json:"event"`
	Description    string          `json:"description"`
	ExamplePayload json.RawMessage `json:"examplePayload"`
}

// GrowCatalog returns a catalog that knows what Journeys.Documents and Journeys.Campaigns add: the type document.signed in a group of its own, and lead.created's field campaign.
func GrowCatalog(catalog []byte) ([]byte, error) {
	var c catalogResponse
	if err := json.Unmarshal(catalog, &c); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	i := slices.IndexFunc(c.Data["leads"], func(e catalogEvent) bool { return e.Event == "lead.created" })
	if i < 0 {
		return nil, fmt.Errorf("grow the catalog: it has no lead.created")
	}
	c.Data["leads"][i].ExamplePayload = json.RawMessage(`{"leadId":"ld_123","email":"jane@acme.com","source":"web_form","campaign":"spring_2026"}`)
	c.Data["documents"] = []catalogEvent{{
		Event:          "document.signed",
		Description:    "Fired when a document is signed",
		ExamplePayload: json.RawMessage(`{"documentId":"doc_505","leadId":"ld_123","title":"Master agreement","pages":12,"signedAt":"2026-05-27T23:34:12.000Z"}`),
	}}
	grown, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	return grown, nil
}
