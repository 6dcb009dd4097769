package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// kafkaVersion is the release that Maven fetches; the broker needs no distribution.
const kafkaVersion = "4.2.0"

// kafkaPOM is a project that exists for its dependencies. slf4j-simple is of the API's version that Kafka is built with: without it the broker is silent.
const kafkaPOM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>leadhouse.local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

// apacheJars returns the directory of Kafka's jars, which it fetches into the cache if they are not there yet.
func apacheJars(ctx context.Context, cfg ApacheConfig) (string, error) {
	cache, err := cacheDir(cfg.CacheDir)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafka-"+kafkaVersion)
	err = fetchOnce(ctx, dir, cfg.Progress, func(ctx context.Context, into string) error {
		began := time.Now()
		mvn, err := exec.LookPath("mvn")
		if err != nil {
			return fmt.Errorf("find Maven: %w", err)
		}
		cfg.Progress(fmt.Sprintf("fetching Apache Kafka %s once: about 45 MB with Maven, kept in %s", kafkaVersion, cache))
		if err := os.WriteFile(filepath.Join(into, "pom.xml"), []byte(kafkaPOM), 0o644); err != nil {
			return fmt.Errorf("write the POM: %w", err)
		}
		// --strict-checksums: what does not match the repository's checksum is an error, not a warning.
		if _, err := runIn(ctx, into, mvn, "--batch-mode", "--strict-checksums", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=lib"); err != nil {
			return err
		}
		cfg.Progress(fmt.Sprintf("Apache Kafka is there, after %.0f s", time.Since(began).Seconds()))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("fetch Apache Kafka %s: %w", kafkaVersion, err)
	}
	return filepath.Join(dir, "lib"), nil
}

func (a *Apache) propertiesFile() string { return filepath.Join(a.cfg.Dir, "server.properties") }

// properties is a single node that may be killed and come back, and no more than tests need of the internal topics.
func (a *Apache) properties() string {
	listeners := append([]string{"PLAINTEXT://" + loopback(a.port)}, a.cfg.Listeners...)
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + loopback(a.controller),
		"controller.listener.names=CONTROLLER",
		"listeners=" + strings.Join(append(slices.Clone(listeners), "CONTROLLER://"+loopback(a.controller)), ","),
		"advertised.listeners=" + strings.Join(listeners, ","),
		"inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
		"log.dirs=" + a.dataDir(),
		"auto.create.topics.enable=false",
		// One broker cannot hold three replicas, and the 50 partitions of each internal topic cost seconds of the first use.
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "transaction.state.log.num.partitions=4",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0", // 3 s otherwise before a first consumer gets its partitions
	}
	return strings.Join(append(lines, a.cfg.Properties...), "\n") + "\n"
}

func (a *Apache) dataDir() string { return filepath.Join(a.cfg.Dir, "data") }

// format gives an empty data directory its cluster ID, or reads that of one which has been in use.
func (a *Apache) format(ctx context.Context) error {
	meta, err := os.ReadFile(filepath.Join(a.dataDir(), "meta.properties"))
	if errors.Is(err, fs.ErrNotExist) {
		a.clusterID = newClusterID()
		command := slices.Concat(a.java, []string{"kafka.tools.StorageTool", "format", "-t", a.clusterID, "-c", a.propertiesFile()}, a.cfg.Format)
		_, err = runIn(ctx, a.cfg.Dir, command[0], command[1:]...)
		if err != nil {
			return fmt.Errorf("format Kafka's data directory: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Kafka's data directory: %w", err)
	}
	for line := range strings.Lines(string(meta)) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "cluster.id="); ok {
			a.clusterID = id
			return nil
		}
	}
	return fmt.Errorf("%s is no Kafka data directory: its meta.properties names no cluster", a.dataDir())
}

// newClusterID is a UUID in Kafka's writing: 22 characters of URL-safe base64.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // so that it does not begin with a dash, which StorageTool would take for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}
