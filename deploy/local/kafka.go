package local

import (
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KfakeConfig says how the embedded Kafka runs. Its zero value is one broker on a free port with its log in memory.
type KfakeConfig struct {
	// Nodes is the number of brokers. Defaults to 1.
	Nodes int

	// Port is that of the first broker on 127.0.0.1; the others take free ones. Defaults to a free one; one that is taken is reported to Progress and replaced.
	Port int

	// DataDir keeps topics, records and committed offsets, and outlives the cluster. Defaults to memory only: then Reopen finds nothing.
	DataDir string

	// Options are added to kfake's: SASL, TLS, ACLs, broker configs. Default to none.
	Options []kfake.Opt

	// Progress gets one line when something is not as asked. Defaults to nobody.
	Progress func(line string)
}

// Kfake is an embedded cluster that speaks Kafka's protocol, within this process. For the tour and for tests, not for production.
type Kfake struct {
	opts  []kfake.Opt
	addrs []string

	// mu guards cluster: nil while closed.
	mu      sync.Mutex
	cluster *kfake.Cluster
}

// StartKfake starts a cluster, which answers when it returns.
func StartKfake(cfg KfakeConfig) (*Kfake, error) {
	if cfg.Nodes < 0 || cfg.Port < 0 || cfg.Port > 65535 {
		return nil, fmt.Errorf("kfake: Nodes %d or Port %d is out of range", cfg.Nodes, cfg.Port)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	var err error
	for range 3 { // a port may be taken between being chosen and being listened on
		var k *Kfake
		if k, err = newKfake(cfg); err == nil {
			return k, nil
		}
	}
	return nil, err
}

func newKfake(cfg KfakeConfig) (*Kfake, error) {
	ports := make([]int, max(cfg.Nodes, 1))
	k := &Kfake{}
	for i := range ports {
		var want int
		if i == 0 {
			want = cfg.Port
		}
		port, err := Port(want, "Kafka", cfg.Progress)
		if err != nil {
			return nil, err
		}
		ports[i] = port
		k.addrs = append(k.addrs, loopback(port))
	}
	k.opts = append(k.opts, kfake.NumBrokers(len(ports)), kfake.Ports(ports...), kfake.ClusterID("leadhouse-local"))
	if cfg.DataDir != "" {
		k.opts = append(k.opts, kfake.DataDir(cfg.DataDir))
	}
	k.opts = append(k.opts, cfg.Options...)
	return k, k.Reopen()
}

// Brokers are the addresses to bootstrap from.
func (k *Kfake) Brokers() []string { return append([]string(nil), k.addrs...) }

// Cluster is for faults, controls and looking inside; nil while closed. After Reopen it is another one, without the faults of the last.
func (k *Kfake) Cluster() *kfake.Cluster {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cluster
}

// CreateTopic makes a topic. configs are Kafka's topic configs, nil for none.
func (k *Kfake) CreateTopic(name string, partitions int, configs map[string]string) error {
	c := k.Cluster()
	if c == nil {
		return errors.New("create topic: Kafka is closed")
	}
	if err := c.CreateTopic(name, int32(partitions), configs); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// Stop closes the cluster and its ports: connections are cut, new ones are refused. It may be called more than once.
func (k *Kfake) Stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster != nil {
		k.cluster.Close()
		k.cluster = nil
	}
}

// Reopen is the end of an absence that began with Stop: the same ports, and the same data if there is a DataDir.
func (k *Kfake) Reopen() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cluster != nil {
		return errors.New("open Kafka: it is open")
	}
	c, err := kfake.NewCluster(k.opts...)
	if err != nil {
		return fmt.Errorf("open Kafka: %w", err)
	}
	k.cluster = c
	return nil
}
