package sink

// span is a run of offsets of one partition: from, and those after it, up to but not including next.
type span struct {
	partition  int32
	from, next int64
}

// offsets knows, per partition, how far ClickHouse has everything without a hole, and how far Kafka has been told. It is
// plain state: no clock, no lock, no I/O. Its rules:
//
//   - A partition is known from assign on, at the offset its fetching starts from; without one, from where its first span
//     begins.
//   - What lies above a hole is remembered, and counts once the hole is filled.
//   - What is to be committed never moves backwards, and never passes an offset that stored has not been told of.
type offsets struct {
	partitions map[int32]*prefix
}

// prefix is one partition: everything below stored is in ClickHouse, everything below told is committed.
type prefix struct {
	stored, told int64
	ahead        map[int64]int64 // from → next of spans stored above a hole
}

// assign begins a partition whose records are fetched from the given offset on; below it nothing is this generation's. A
// negative offset is kafka-go's for a group that has committed none: the fetcher finds out where the log begins.
func (o *offsets) assign(partition int32, from int64) {
	if o.partitions == nil {
		o.partitions = map[int32]*prefix{}
	}
	o.partitions[partition] = &prefix{stored: from, told: from, ahead: map[int64]int64{}}
}

// store notes that every record of the span is in ClickHouse, its ledger entry included. A partition that was never
// assigned is ignored: its offsets are somebody else's to commit.
func (o *offsets) store(s span) {
	p := o.partitions[s.partition]
	if p == nil || s.next <= s.from {
		return
	}
	if p.stored < 0 {
		p.stored, p.told = s.from, s.from
	}
	p.ahead[s.from] = max(p.ahead[s.from], s.next)
	for moved := true; moved; { // one pass per hole that closes; as a rule there is one span and one pass
		moved = false
		for from, next := range p.ahead {
			if from <= p.stored {
				p.stored = max(p.stored, next)
				delete(p.ahead, from)
				moved = true
			}
		}
	}
}

// due is what Kafka is to be told: for each partition that has moved, the first offset that is not stored.
func (o *offsets) due() map[int32]int64 {
	due := map[int32]int64{}
	for partition, p := range o.partitions {
		if p.stored > p.told {
			due[partition] = p.stored
		}
	}
	return due
}

// commit notes that Kafka has taken what due said.
func (o *offsets) commit(told map[int32]int64) {
	for partition, offset := range told {
		if p := o.partitions[partition]; p != nil {
			p.told = max(p.told, offset)
		}
	}
}

// committed is, per partition, the offset Kafka has been told, or began with.
func (o *offsets) committed() map[int32]int64 {
	told := make(map[int32]int64, len(o.partitions))
	for partition, p := range o.partitions {
		told[partition] = p.told
	}
	return told
}
