package local

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// emit writes one delivery's body at the world's present moment. data writes the fields of its data object.
func (w *world) emit(eventType, key string, data func()) {
	at := min(w.now, w.end)
	b := append(w.buf[:0], `{"id":"`...)
	b = w.appendEventID(b, at)
	idEnd := len(b)
	b = append(b, `","type":"`...)
	b = append(b, eventType...)
	b = append(b, `","createdAt":"`...)
	b = appendTimestamp(b, at)
	b = append(b, `","data":{`...)
	w.buf = b
	data()
	w.buf = append(w.buf, '}', '}')

	body := append([]byte(nil), w.buf...) // the buffer's growth is paid once, the body is the receiver's
	w.ready = append(w.ready, Delivery{
		ID:   string(body[len(`{"id":"`):idEnd]),
		Type: eventType,
		Key:  key,
		Time: time.UnixMilli(at).UTC(),
		Body: body,
	})
}

func (w *world) str(name, value string) {
	w.name(name)
	w.buf = appendJSONString(w.buf, value, w.rng.IntN(64) == 0)
}

func (w *world) num(name string, value int64) {
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
}

// amount writes cents as JSON numbers do: 25000, 129.9, 0.05.
func (w *world) amount(name string, cents int64) {
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, cents/100, 10)
	if c := cents % 100; c != 0 {
		w.buf = append(w.buf, '.', byte('0'+c/10))
		if c%10 != 0 {
			w.buf = append(w.buf, byte('0'+c%10))
		}
	}
}

func (w *world) object(name string, fields func()) {
	w.name(name)
	w.buf = append(w.buf, '{')
	fields()
	w.buf = append(w.buf, '}')
}

// name writes a field's name, and the comma before it. Now and then with a space that a re-encoding would lose: bodies are to arrive byte for byte.
func (w *world) name(name string) {
	if w.buf[len(w.buf)-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '"', ':')
	if w.rng.IntN(128) == 0 {
		w.buf = append(w.buf, ' ')
	}
}

// appendJSONString escapes what must be, and everything outside ASCII too if asked: both writings are common, and equal.
func appendJSONString(b []byte, s string, ascii bool) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < utf8.RuneSelf || !ascii:
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			b = appendHex4(b, 0xd800+(r-0x10000)>>10)
			b = appendHex4(b, 0xdc00+(r-0x10000)&0x3ff)
		default:
			b = appendHex4(b, r)
		}
	}
	return append(b, '"')
}

func appendHex4(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// appendEventID writes an ID of the shape of those on the Events page: evt_ and a ULID, 48 bits of time and 80 of chance.
func (w *world) appendEventID(b []byte, ms int64) []byte {
	b = append(b, "evt_"...)
	for shift := 45; shift >= 0; shift -= 5 {
		b = append(b, crockford[ms>>shift&31])
	}
	for range 2 {
		random := w.rng.Uint64()
		for range 8 {
			b = append(b, crockford[random&31])
			random >>= 5
		}
	}
	return b
}

// entity makes an ID that no other entity of this world has: a running number, multiplied by an odd one, which is one-to-one. The seed keeps worlds apart.
func (w *world) entity(prefix string) string {
	w.ids++
	n := (uint64(w.ids) ^ w.Seed<<32) * 0x9e3779b97f4a7c15
	b := append(make([]byte, 0, 24), prefix...)
	for shift := 60; shift >= 0; shift -= 5 {
		b = append(b, "0123456789abcdefghjkmnpqrstvwxyz"[n>>shift&31])
	}
	return string(b)
}

// person makes up a name and an address for it.
func (w *world) person() (name, email string) {
	n := w.rng.IntN(1_000_000)
	b := append(make([]byte, 0, 40), "lead."...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '@')
	b = append(b, w.pick(mailHosts)...)
	return w.pick(firstNames) + " " + w.pick(lastNames), string(b)
}

// timestamp is ISO 8601 in UTC with milliseconds, as in every example of the Events page.
func (w *world) timestamp(ms int64) string { return string(appendTimestamp(nil, min(ms, w.end))) }

func appendTimestamp(b []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
}
