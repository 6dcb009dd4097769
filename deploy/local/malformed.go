package local

import "strconv"

// malformedBodies are signed deliveries that are no event: each breaks another rule of the envelope. The number tells them apart in dead_letters.
var malformedBodies = []func(n string) string{
	func(n string) string {
		return `{"id":"evt_malformed_` + n + `","type":"lead.created","createdAt":"2026-`
	},
	func(n string) string {
		return `{"id":"evt_malformed_` + n + `","type":"lead.created","createdAt":"yesterday","data":{}}`
	},
	func(n string) string {
		return `{"id":"evt_malformed_` + n + `","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":[]}`
	},
	func(n string) string {
		return `{"id":null,"type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"ld_malformed_` + n + `"}}`
	},
	func(n string) string {
		return `{"id":"evt_malformed_` + n + `","id":"evt_twice","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{}}`
	},
	func(n string) string { return `[{"id":"evt_malformed_` + n + `"}]` },
	func(n string) string {
		return "{\"id\":\"evt_malformed_" + n + "\xff\",\"type\":\"lead.created\",\"createdAt\":\"2026-05-27T23:34:12.000Z\",\"data\":{}}"
	},
	func(n string) string {
		return `{"id":"evt_malformed_` + n + `","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{}} trailing`
	},
	func(n string) string { return "not JSON at all " + n },
}

// Malformed makes n deliveries that are no events, all different. Signed, they are to be accepted, and to end as dead letters.
func Malformed(n int) []Delivery {
	out := make([]Delivery, n)
	for i := range out {
		out[i].Body = []byte(malformedBodies[i%len(malformedBodies)](strconv.Itoa(i)))
	}
	return out
}
