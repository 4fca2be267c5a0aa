// Package kafkatest runs a real broker of Apache Kafka for tests, and the console consumer that belongs to it.
package kafkatest

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth/tlsauthtest"
)

// A Broker is a cluster of one broker, which is its own controller.
type Broker struct {
	Address string // host:port, for everybody
	Secure  string // host:port, with TLS, for User with Password
	CA      string // the file of its authority
	dir     string
	jars    string
	java    string
	cmd     *exec.Cmd
	log     *os.File
}

// Who may use Secure.
const (
	User     = "zrsd"
	Password = "it's s3cret@home"
)

// Start starts a broker, which ends with the test. It skips the test where there is none to run, unless
// ZRSD_REQUIRE_PYTHON says that all that tests need is installed: make kafka installs it.
func Start(t *testing.T) *Broker {
	t.Helper()
	b := &Broker{dir: t.TempDir()}
	b.find(t)
	b.Address, b.Secure = free(t), free(t)
	b.configure(t, free(t))
	b.run(t, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", b.conf(), "--add-scram",
		fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", User, Password))
	var err error
	if b.log, err = os.Create(filepath.Join(b.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		text, _ := os.ReadFile(b.log.Name())
		_ = b.log.Close()
		if t.Failed() {
			t.Logf("the broker said:\n%s", text)
		}
	})
	b.Up(t)
	return b
}

func (b *Broker) conf() string { return filepath.Join(b.dir, "server.properties") }

// configure writes the settings of the broker, and those of its log.
func (b *Broker) configure(t *testing.T, controller string) {
	t.Helper()
	ca := tlsauthtest.NewAuthority(t, b.dir, "authority")
	files := ca.Issue(t, "broker", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	b.CA = ca.File
	pem := filepath.Join(b.dir, "broker.pem")
	var both []byte
	for _, name := range []string{files.Key, files.Certificate} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"controller.listener.names=CONTROLLER",
		"listeners=PLAINTEXT://" + b.Address + ",SASL_SSL://" + b.Secure + ",CONTROLLER://" + controller,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
		"log.dirs=" + filepath.Join(b.dir, "data"),
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=1",
		"sasl.enabled.mechanisms=SCRAM-SHA-512",
		"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=" +
			"org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + pem,
	}
	for name, text := range map[string]string{
		pem:                                  string(both),
		b.conf():                             strings.Join(lines, "\n") + "\n",
		filepath.Join(b.dir, "log.settings"): logSettings,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const logSettings = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.logger.state.change.logger=OFF
log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n
`

// Up starts the broker again after a Kill, and waits until it takes connections.
func (b *Broker) Up(t *testing.T) {
	t.Helper()
	b.cmd = b.command(context.Background(), "kafka.Kafka", b.conf()) // until Kill
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", b.Address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the broker does not listen at %s: %v", b.Address, err)
		}
	}
}

// Kill kills the broker, as kill -9 does.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// Consume returns what Kafka's own console consumer reads of partition 0 of a topic with read_committed: so many
// records, each with its headers, and no more time than that takes.
func (b *Broker) Consume(t *testing.T, topic string, records int) []string {
	t.Helper()
	out := b.run(t, "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", b.Address,
		"--topic", topic, "--partition", "0", "--offset", "earliest", "--isolation-level", "read_committed",
		"--max-messages", fmt.Sprint(records), "--timeout-ms", "60000", "--property", "print.headers=true")
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// run runs a tool to its end, and returns what it prints.
func (b *Broker) run(t *testing.T, class string, args ...string) string {
	t.Helper()
	var out, errs strings.Builder
	cmd := b.command(t.Context(), class, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", class, err, &out, &errs)
	}
	return out.String()
}

func (b *Broker) command(ctx context.Context, class string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.java, append([]string{ //nolint:gosec // that make has installed
		"-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Dlog4j.configuration=file:" + filepath.Join(b.dir, "log.settings"),
		"-cp", filepath.Join(b.jars, "*"), class,
	}, args...)...)
}

// find finds Java, and the archives that make kafka has installed.
func (b *Broker) find(t *testing.T) {
	t.Helper()
	var err error
	if b.java, err = exec.LookPath("java"); err != nil {
		missing(t, "there is no java: apt-get install default-jre-headless")
	}
	dir, err := os.Getwd()
	for ; err == nil && filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		if found, _ := filepath.Glob(filepath.Join(dir, "bin", "kafka", "kafka_*.jar")); len(found) > 0 {
			b.jars = filepath.Dir(found[0])
			return
		}
	}
	missing(t, "there is no bin/kafka: run make kafka")
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("ZRSD_REQUIRE_PYTHON") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func free(t *testing.T) string {
	t.Helper()
	address, err := endpoint.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}
