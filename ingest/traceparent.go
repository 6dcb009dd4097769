package ingest

import "net/http"

// traceparent returns the request's trace parent when there is exactly one and it is well-formed (W3C Trace Context,
// version 00, the only one defined): anything else stays outside, because the value becomes a record header.
func traceparent(h http.Header) string {
	values := h["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	v := values[0] // 00-<trace, 32>-<parent, 16>-<flags, 2>
	if len(v) != 55 || v[:3] != "00-" || v[35] != '-' || v[52] != '-' {
		return ""
	}
	for _, part := range []struct {
		hex     string
		nonzero bool
	}{{v[3:35], true}, {v[36:52], true}, {v[53:], false}} {
		zero := true
		for i := range len(part.hex) {
			c := part.hex[i]
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return ""
			}
			zero = zero && c == '0'
		}
		if zero && part.nonzero {
			return ""
		}
	}
	return v
}
