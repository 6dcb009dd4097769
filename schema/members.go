package schema

import "github.com/ClickHouse/clickhouse-go/v2/lib/column"

// members are an object's, in the payload's order, as clickhouse-go takes a Map column's value. A Go map would come out in
// another order every time, and to ClickHouse {a, b} and {b, a} are two values: the same payload, typed twice, must not
// differ.
type members []member

type member struct{ key, value string }

var _ column.IterableOrderedMap = members{}

// Put is for reading, which nobody does.
func (members) Put(any, any) { panic("schema: members are only written") }

// Iterator walks the members in order.
func (m members) Iterator() column.MapIterator { return &memberIterator{m, -1} }

type memberIterator struct {
	members
	at int
}

func (i *memberIterator) Next() bool { i.at++; return i.at < len(i.members) }
func (i *memberIterator) Key() any   { return i.members[i.at].key }
func (i *memberIterator) Value() any { return i.members[i.at].value }

// fewMembers are compared each with each, which is quicker than a map's making.
const fewMembers = 16

// distinct reports that no key stands there twice.
func (m members) distinct() bool {
	if len(m) <= fewMembers {
		for i := range m {
			for _, earlier := range m[:i] {
				if earlier.key == m[i].key {
					return false
				}
			}
		}
		return true
	}
	seen := make(map[string]bool, len(m))
	for _, one := range m {
		if seen[one.key] {
			return false
		}
		seen[one.key] = true
	}
	return true
}
