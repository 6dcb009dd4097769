package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// What stands in a dead letter is anybody's: a terminal must be safe from it, and JSON must stay JSON.

// writeLetter is a whole letter for people.
func writeLetter(out io.Writer, l *deadletters.Letter) error {
	fmt.Fprintf(out, "Dead letter at partition %d, offset %d", l.Partition, l.Offset)
	if l.Epoch > 0 {
		fmt.Fprintf(out, ", epoch %d", l.Epoch)
	}
	fmt.Fprintf(out, "\n  status    %s\n  reason    %s\n  detail    %s\n", l.Status, printable(string(l.Reason)), printable(l.Detail))
	fmt.Fprintf(out, "  received  %s UTC\n  loaded    %s UTC\n", l.ReceivedAt.UTC().Format(timeFormat), l.LoadedAt.UTC().Format(timeFormat))
	if l.Type != "" {
		fmt.Fprintf(out, "  type      %s\n", printable(l.Type))
	}
	fmt.Fprintf(out, "  key       %s\n", strconv.QuoteToGraphic(string(l.Key)))
	for _, h := range l.Headers {
		fmt.Fprintf(out, "  header    %s: %s\n", strconv.QuoteToGraphic(h.Name), strconv.QuoteToGraphic(string(h.Value)))
	}
	if l.Erased() {
		_, err := fmt.Fprint(out, "  body      gone: leadhouse erase has blanked it\n")
		return err
	}
	if !utf8.Valid(l.Payload) {
		fmt.Fprintf(out, "  body      %d bytes, not UTF-8, in hex:\n\n", len(l.Payload))
		dump := hex.Dumper(out)
		_, err := dump.Write(l.Payload)
		_ = dump.Close() // it has nothing to close
		return err
	}
	fmt.Fprintf(out, "  body      %d bytes:\n\n", len(l.Payload))
	_, err := fmt.Fprintln(out, printableLines(string(l.Payload)))
	return err
}

// printable is text on one line: what is not for a reader, line breaks too, stands as Go writes it, \n or \u202e.
func printable(s string) string { return escape(s, "") }

// printableLines keeps tabs and line ends.
func printableLines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteString(s[i : i+size])
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}

// summaryJSON is a dead letter in list.
type summaryJSON struct {
	Epoch      uint32 `json:"topic_epoch"`
	Partition  int32  `json:"partition"`
	Offset     int64  `json:"offset"`
	Status     string `json:"status"`
	Reason     string `json:"reason"`
	Detail     string `json:"detail"`
	Type       string `json:"type,omitempty"`
	ReceivedAt string `json:"received_at"`
	LoadedAt   string `json:"loaded_at"`
	Bytes      uint64 `json:"bytes"`
}

func newSummaryJSON(l deadletters.Summary) summaryJSON {
	const layout = "2006-01-02T15:04:05.000Z07:00"
	at := func(t time.Time) string { return t.UTC().Format(layout) }
	return summaryJSON{
		l.Epoch, l.Partition, l.Offset, string(l.Status), string(l.Reason), l.Detail, l.Type, at(l.ReceivedAt), at(l.LoadedAt), l.Bytes,
	}
}

// letterJSON is one in show. Of each pair one is there: JSON holds UTF-8 alone, and the bytes must be exact.
type letterJSON struct {
	summaryJSON
	Key           *string      `json:"key,omitempty"`
	KeyBase64     []byte       `json:"key_base64,omitempty"`
	Headers       []headerJSON `json:"headers"`
	Payload       *string      `json:"payload,omitempty"`
	PayloadBase64 []byte       `json:"payload_base64,omitempty"`
}

type headerJSON struct {
	Name        *string `json:"name,omitempty"`
	NameBase64  []byte  `json:"name_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func newLetterJSON(l *deadletters.Letter) letterJSON {
	j := letterJSON{summaryJSON: newSummaryJSON(l.Summary), Headers: []headerJSON{}}
	j.Key, j.KeyBase64 = textOrBytes(l.Key)
	j.Payload, j.PayloadBase64 = textOrBytes(l.Payload)
	for _, h := range l.Headers {
		var one headerJSON
		one.Name, one.NameBase64 = textOrBytes([]byte(h.Name))
		one.Value, one.ValueBase64 = textOrBytes(h.Value)
		j.Headers = append(j.Headers, one)
	}
	return j
}

func textOrBytes(b []byte) (*string, []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	text := string(b)
	return &text, nil
}

// jsonList writes the entries of an array, one a line, and the end of the object that holds it.
type jsonList struct {
	out     io.Writer
	encoder *json.Encoder
	between string
}

func newJSONList(out io.Writer) *jsonList {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &jsonList{out, encoder, "\n"}
}

func (l *jsonList) add(v any) error {
	fmt.Fprint(l.out, l.between)
	l.between = ","
	return l.encoder.Encode(v)
}

func (l *jsonList) end() error {
	_, err := fmt.Fprintln(l.out, "]}")
	return err
}
