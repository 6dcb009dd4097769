package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
)

// Limits of kafka-go's calls. A broker that has not answered after these is as good as away.
const (
	dialTimeout  = 5 * time.Second  // TCP, TLS and SASL to one broker, and the question who leads a partition
	fetchTimeout = 15 * time.Second // one fetch with its wait for records and its body, which may be many MiB over a slow line
	groupTimeout = 5 * time.Second  // one call to the coordinator; joining waits for the other members on top of it
	askTimeout   = 10 * time.Second // one call of kafka.Client
)

// leash returns a dialer like d whose connections cannot outlive ctx, nor wait longer than limit.
//
// kafka-go's Dialer does the SASL exchange on the connection with no deadline: neither Dialer.Timeout nor the dial's own
// context reaches it, so a broker that accepts and then says nothing held DialLeader, ConsumerGroup.Next and
// ConsumerGroup.Close for ever. kafka-go says "no deadline" by setting the zero time; the leash reads that as limit.
func leash(ctx context.Context, d *kafka.Dialer, limit time.Duration) *kafka.Dialer {
	leashed := *d
	if leashed.Timeout == 0 {
		leashed.Timeout = dialTimeout
	}
	dial := d.DialFunc
	if dial == nil {
		dial = (&net.Dialer{LocalAddr: d.LocalAddr, FallbackDelay: d.FallbackDelay, KeepAlive: d.KeepAlive}).DialContext
	}
	leashed.DialFunc = func(dialCtx context.Context, network, address string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		conn, err := dial(dialCtx, network, address)
		if err != nil {
			return nil, err
		}
		c := &leashedConn{Conn: conn, limit: limit}
		if err := c.SetDeadline(time.Time{}); err != nil {
			_ = conn.Close()
			return nil, err
		}
		c.untie = context.AfterFunc(ctx, func() { _ = conn.Close() })
		return c, nil
	}
	return &leashed
}

type leashedConn struct {
	net.Conn
	limit time.Duration
	untie func() bool
}

func (c *leashedConn) Close() error {
	c.untie()
	return c.Conn.Close()
}

func (c *leashedConn) SetDeadline(t time.Time) error {
	return c.Conn.SetDeadline(c.bound(t))
}

func (c *leashedConn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(c.bound(t))
}

func (c *leashedConn) SetWriteDeadline(t time.Time) error {
	return c.Conn.SetWriteDeadline(c.bound(t))
}

func (c *leashedConn) bound(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now().Add(c.limit)
	}
	return t
}

// dialLeader connects to a partition's leader, through whichever bootstrap broker answers. kafka-go's DialLeader takes
// one bootstrap address and asks it again until its context ends, so each address gets its own share of time.
func dialLeader(ctx context.Context, d *kafka.Dialer, brokers []string, topic string, partition int32) (*kafka.Conn, error) {
	var errs []error
	for i := range brokers {
		broker := brokers[(i+int(partition))%len(brokers)] // partitions spread over the brokers they ask
		dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := d.DialLeader(dialCtx, "tcp", broker, topic, int(partition))
		cancel()
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("leader of partition %d by way of %s: %w", partition, broker, err))
	}
	return nil, errors.Join(errs...)
}

// newClient is a kafka.Client that reaches the brokers as the dialer does. Close its transport's idle connections at
// the end. kafka.Transport minds the SASL exchange's time itself.
func newClient(d *kafka.Dialer, brokers []string, topic string) (*kafka.Client, *kafka.Transport) {
	transport := &kafka.Transport{
		Dial:           d.DialFunc,
		DialTimeout:    dialTimeout,
		ClientID:       d.ClientID,
		TLS:            d.TLS,
		SASL:           d.SASLMechanism,
		MetadataTopics: []string{topic},
		MetadataTTL:    2 * time.Second, // how late the creation of the topic may be noticed; also the request's own time-out
	}
	return &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: askTimeout, Transport: transport}, transport
}
