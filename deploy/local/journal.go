package local

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A Receipt is a 2xx: the promise that its delivery is in Kafka.
type Receipt struct {
	ID, Type, Key string    // the delivery's
	Due           time.Time // when it was to be sent
	At            time.Time // when the 2xx had come
	Attempts      int       // the last one got the 2xx; those before may have been taken too
}

// An Abandoned delivery has neither a receipt nor a refusal: it may be in Kafka, or not.
type Abandoned struct {
	ID, Type, Key string
	Status        int // of the last answer; 0 for none
}

// Journal is what a sender has been answered.
type Journal struct {
	mu        sync.Mutex
	receipts  []Receipt
	abandoned []Abandoned
	refused   map[int]int
	forged    map[int]int
	answers   map[int]int
}

// Receipts are all 2xx in the order in which they came. A delivery that was sent twice may have two.
func (j *Journal) Receipts() []Receipt {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.receipts)
}

// Accepted is the number of receipts so far.
func (j *Journal) Accepted() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.receipts)
}

// Abandoned are the deliveries that were given up.
func (j *Journal) Abandoned() []Abandoned {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.abandoned)
}

// Refused counts the proper deliveries that were turned away for good, by status.
func (j *Journal) Refused() map[int]int { return j.copyOf(&j.refused) }

// Forged counts the forged deliveries by their final status, 2xx included: of those there may be none.
func (j *Journal) Forged() map[int]int { return j.copyOf(&j.forged) }

// Answers counts all attempts by status, 0 for those that got no answer.
func (j *Journal) Answers() map[int]int { return j.copyOf(&j.answers) }

func (j *Journal) copyOf(counts *map[int]int) map[int]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(*counts)
}

func (j *Journal) count(status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	add(&j.answers, status)
}

// settle notes a final answer.
func (j *Journal) settle(p parcel, status, attempts int) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case p.forged:
		add(&j.forged, status)
	case accepted(status):
		j.receipts = append(j.receipts, Receipt{ID: p.ID, Type: p.Type, Key: p.Key, Due: p.due, At: now, Attempts: attempts})
	default:
		add(&j.refused, status)
	}
}

func (j *Journal) abandon(p parcel, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if p.forged {
		add(&j.forged, status)
		return
	}
	j.abandoned = append(j.abandoned, Abandoned{ID: p.ID, Type: p.Type, Key: p.Key, Status: status})
}

func add(counts *map[int]int, status int) {
	if *counts == nil {
		*counts = map[int]int{}
	}
	(*counts)[status]++
}
