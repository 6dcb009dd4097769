package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// ApacheConfig says how a real Apache Kafka runs: one node, broker and controller in one. Its zero value is a broker on a free port with temporary data.
type ApacheConfig struct {
	// Dir holds the data, and outlives the broker. Defaults to a temporary directory that Stop removes.
	Dir string

	// Port is that of the plaintext listener on 127.0.0.1. Defaults to a free one; one that is taken is reported to Progress and replaced.
	Port int

	// Listeners are further ones, like "SASL_SSL://127.0.0.1:9094". Default to none.
	Listeners []string

	// Properties are further lines of server.properties; the last of several for one key counts. Default to none.
	Properties []string

	// Format are further arguments of `kafka-storage format`, like "--add-scram", "SCRAM-SHA-256=[name=a,password=b]". Only for a Dir that is empty. Default to none.
	Format []string

	// HeapMiB is the JVM's largest heap. Defaults to 512.
	HeapMiB int

	// LogFile gets the broker's log. Defaults to kafka.log in Dir.
	LogFile string

	// Progress gets one line when something takes long or is not as asked. Defaults to nobody.
	Progress func(line string)

	// CacheDir keeps what was fetched. Defaults to leadhouse in the user's cache directory.
	CacheDir string
}

func (cfg *ApacheConfig) validate() error {
	var errs []error
	if cfg.Port < 0 || cfg.Port > 65535 {
		errs = append(errs, fmt.Errorf("Port: %d is no port", cfg.Port))
	}
	if cfg.HeapMiB < 0 || cfg.HeapMiB > 0 && cfg.HeapMiB < 256 {
		errs = append(errs, fmt.Errorf("HeapMiB: %d is less than the 256 that Kafka starts with", cfg.HeapMiB))
	}
	for _, l := range cfg.Listeners {
		if _, _, ok := strings.Cut(l, "://"); !ok {
			errs = append(errs, fmt.Errorf("field Listeners: %q is not NAME://HOST:PORT", l))
		}
	}
	return errors.Join(errs...)
}

// Apache is a real Apache Kafka in a JVM of its own. It is not supervised: what ends it is the test's business.
type Apache struct {
	cfg        ApacheConfig
	java       []string // the command up to the main class
	clusterID  string
	port       int
	controller int
	temp       *tempDir // nil where Dir was given
	transport  *kafka.Transport

	// mu is held by everything that starts or ends the child.
	mu       sync.Mutex
	child    *process // nil while it is down
	logStart int64    // where in LogFile the last start's lines begin
}

// StartApache starts a broker and returns when it answers. It needs Java 17, and Maven (`mvn`) the first time, which fetches Kafka for this user.
func StartApache(ctx context.Context, cfg ApacheConfig) (*Apache, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	cfg.HeapMiB = cmp.Or(cfg.HeapMiB, 512)
	jars, err := apacheJars(ctx, cfg)
	if err != nil {
		return nil, err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("find Java 17: %w", err)
	}
	a := &Apache{cfg: cfg, transport: &kafka.Transport{}}
	a.java = []string{
		java,
		"-Xmx" + strconv.Itoa(cfg.HeapMiB) + "m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(jars, "*"),
	}
	if err := a.open(ctx); err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

func (a *Apache) open(ctx context.Context) error {
	if err := a.openDir(); err != nil {
		return err
	}
	// Between choosing a port and listening on it somebody else may take it: then others are tried.
	var err error
	for range 3 {
		if err = a.openOnPorts(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (a *Apache) openDir() (err error) {
	if a.cfg.Dir == "" {
		if a.temp, err = makeTempDir(""); err != nil {
			return err
		}
		a.cfg.Dir = a.temp.path
	}
	if a.cfg.Dir, err = filepath.Abs(a.cfg.Dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	a.cfg.LogFile = cmp.Or(a.cfg.LogFile, filepath.Join(a.cfg.Dir, "kafka.log"))
	if err := os.MkdirAll(a.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("make Kafka's directory: %w", err)
	}
	return nil
}

func (a *Apache) openOnPorts(ctx context.Context) (err error) {
	if a.port, err = Port(a.cfg.Port, "Kafka", a.cfg.Progress); err != nil {
		return err
	}
	if a.controller, err = freePort(); err != nil {
		return err
	}
	if err := os.WriteFile(a.propertiesFile(), []byte(a.properties()), 0o644); err != nil {
		return fmt.Errorf("write server.properties: %w", err)
	}
	if err := a.format(ctx); err != nil {
		return err
	}
	return a.Restart(ctx)
}

// Brokers are the addresses to bootstrap from, in plaintext.
func (a *Apache) Brokers() []string { return []string{loopback(a.port)} }

// Version is Kafka's.
func (a *Apache) Version() string { return kafkaVersion }

// Dir is where the data is.
func (a *Apache) Dir() string { return a.cfg.Dir }

// LogFile is where the broker's log goes.
func (a *Apache) LogFile() string { return a.cfg.LogFile }

// PID is that of the JVM, 0 while it is down.
func (a *Apache) PID() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child == nil {
		return 0
	}
	return a.child.pid()
}

// CreateTopic makes a topic and returns when it can be produced to. configs are Kafka's topic configs, nil for none.
func (a *Apache) CreateTopic(name string, partitions int, configs map[string]string) error {
	topic := kafka.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}
	for k, v := range configs {
		topic.ConfigEntries = append(topic.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // it takes 50 ms; a controller that is still electing answers later
	defer cancel()
	resp, err := a.client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err == nil {
		err = resp.Errors[name]
	}
	if err == nil {
		err = a.awaitLeaders(ctx, name, partitions)
	}
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// awaitLeaders returns when the broker leads a topic's partitions. The controller has a topic, and metadata name its leaders, a moment before the broker knows: a produce in between is refused with NotLeaderForPartition. ListOffsets is answered by the leader itself.
func (a *Apache) awaitLeaders(ctx context.Context, topic string, partitions int) error {
	req := &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{}}
	for p := range partitions {
		req.Topics[topic] = append(req.Topics[topic], kafka.LastOffsetOf(p))
	}
	for {
		resp, err := a.client().ListOffsets(ctx, req)
		if err == nil {
			for _, p := range resp.Topics[topic] {
				err = errors.Join(err, p.Error)
			}
		}
		if err == nil && len(resp.Topics[topic]) == partitions {
			return nil
		}
		if wait(ctx, 20*time.Millisecond) != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Restart starts the broker on the same data and ports, after killing it if it runs, and returns when it answers.
func (a *Apache) Restart(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end((*process).kill)
	return a.launch(ctx)
}

// Kill ends the broker as kill -9 does. It stays down until Restart.
func (a *Apache) Kill() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end((*process).kill)
}

// Shutdown ends the broker in good order (SIGTERM). It stays down until Restart.
func (a *Apache) Shutdown() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end((*process).stop)
}

// Pause stops the JVM where it stands: connections stay, nothing answers.
func (a *Apache) Pause() error { return a.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (a *Apache) Continue() error { return a.signal(syscall.SIGCONT) }

// Stop ends the broker for good, in good order where its data stay, and removes them where they are temporary. It may be called more than once.
func (a *Apache) Stop() {
	if a.temp == nil {
		a.Shutdown()
	} else {
		a.Kill()
		_ = a.temp.remove() // the next sweep tries again
	}
	a.transport.CloseIdleConnections()
}

func (a *Apache) signal(sig syscall.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.child == nil {
		return errors.New("the broker is down")
	}
	return a.child.signal(sig)
}

// end ends the child, if there is one. a.mu is held.
func (a *Apache) end(how func(*process)) {
	if child := a.child; child != nil {
		a.child = nil
		how(child)
	}
	a.transport.CloseIdleConnections()
}

// launch starts the JVM and returns when it answers. a.mu is held.
func (a *Apache) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	log, err := os.OpenFile(a.cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open Kafka's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	if a.logStart, err = endOf(log); err != nil {
		return err
	}
	command := slices.Concat(a.java, []string{"kafka.Kafka", a.propertiesFile()})
	child, err := startProcess(log, command[0], command[1:]...)
	if err != nil {
		return err
	}
	if err := a.awaitAnswer(ctx, child); err != nil {
		child.kill()
		return fmt.Errorf("start Kafka: %w: %s", err, logTail(a.cfg.LogFile, a.logStart))
	}
	a.child = child
	return nil
}

// awaitAnswer returns when the broker names itself in its cluster's metadata, which it does when it can take requests, and the cluster is the one that we formatted.
func (a *Apache) awaitAnswer(ctx context.Context, child *process) error {
	for {
		id, brokers, err := a.describe(ctx)
		switch {
		case err == nil && id == a.clusterID && brokers > 0:
			return nil
		case err == nil && id != a.clusterID:
			return fmt.Errorf("another cluster answers on %s", loopback(a.port))
		}
		select {
		case <-child.gone:
			return fmt.Errorf("it ended at once (%w)", child.err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond): // a start takes seconds
		}
	}
}

// describe asks over a connection of its own: a Transport would answer from its cache.
func (a *Apache) describe(ctx context.Context) (clusterID string, brokers int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	t := &kafka.Transport{Dial: (&net.Dialer{}).DialContext}
	defer t.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(loopback(a.port)), Transport: t}
	m, err := c.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return "", 0, err
	}
	return m.ClusterID, len(m.Brokers), nil
}

func (a *Apache) client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(loopback(a.port)), Timeout: 10 * time.Second, Transport: a.transport}
}
