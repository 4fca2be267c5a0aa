package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Schemes of addresses of Kafka.
const (
	kafkaScheme = "kafka"
	kafkaTLS    = "kafka+tls"
)

// A kafkaAddress says where a topic is, and who the client is.
//
//	kafka[+tls]://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/TOPIC[?sasl=…&ca=FILE&cert=FILE&key=FILE]
type kafkaAddress struct {
	seeds []string
	topic string
	opts  []kgo.Opt
}

func (a *kafkaAddress) hosts() string { return strings.Join(a.seeds, ", ") }

// isTopicName reports whether Kafka can have a topic of this name, and zrsd one beside it for the cursor.
func isTopicName(s string) bool {
	return s != "" && len(s) <= 200 && strings.Trim(s, topicCharacters) == ""
}

const topicCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// parseKafka reads an address. An error names no password.
func parseKafka(address string) (*kafkaAddress, error) {
	u, seeds, err := cutHosts(address)
	if err != nil {
		return nil, err
	}
	a := &kafkaAddress{seeds: seeds, topic: strings.TrimPrefix(u.Path, "/")}
	for _, seed := range seeds {
		if host, port, err := net.SplitHostPort(seed); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("broker %.100q: give %s://HOST:PORT[,HOST:PORT…]/TOPIC", seed, u.Scheme)
		}
	}
	if !isTopicName(a.topic) {
		return nil, fmt.Errorf("topic %.100q: give %s://HOST:PORT[,HOST:PORT…]/TOPIC", a.topic, u.Scheme)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("what follows ? in the address of topic %s: %w", a.topic, err)
	}
	for name := range query {
		if !strings.Contains(" sasl ca cert key ", " "+name+" ") {
			return nil, fmt.Errorf("?%s= is not known: there are sasl, ca, cert and key", name)
		}
	}
	a.opts = []kgo.Opt{kgo.SeedBrokers(seeds...), kgo.ClientID("zrsd feed")}
	if err := a.secure(u.Scheme, query); err != nil {
		return nil, err
	}
	return a, a.identify(u, query)
}

// cutHosts parses an address with several hosts as one with the first of them.
func cutHosts(address string) (u *url.URL, seeds []string, err error) {
	scheme, after, ok := strings.Cut(address, "://")
	if !ok || scheme != kafkaScheme && scheme != kafkaTLS {
		return nil, nil, errors.New("give kafka://HOST:PORT[,HOST:PORT…]/TOPIC, or kafka+tls://…")
	}
	authority, path, _ := strings.Cut(after, "/")
	user := authority[:strings.LastIndexByte(authority, '@')+1]
	seeds = strings.Split(authority[len(user):], ",")
	if u, err = url.Parse(scheme + "://" + user + "host/" + path); err != nil {
		return nil, nil, fmt.Errorf("the address of %s is no URL: escape what is special in user and password, as "+
			"in %%40 for @", strings.Join(seeds, ", "))
	}
	return u, seeds, nil
}

// secure sets TLS.
func (a *kafkaAddress) secure(scheme string, query url.Values) error {
	ca, cert, key := query.Get("ca"), query.Get("cert"), query.Get("key")
	if scheme != kafkaTLS {
		if ca+cert+key != "" {
			return errors.New("ca, cert and key are of kafka+tls://")
		}
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return fmt.Errorf("read the certificate authority: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s has no certificate in PEM", ca)
		}
	}
	if cert+key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("read cert=%s and key=%s: %w", cert, key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	a.opts = append(a.opts, kgo.DialTLSConfig(config))
	return nil
}

// identify sets who the client is.
func (a *kafkaAddress) identify(u *url.URL, query url.Values) error {
	how := query.Get("sasl")
	if u.User == nil {
		if how != "" {
			return errors.New("sasl= is of an address with USER:PASSWORD@")
		}
		return nil
	}
	password, _ := u.User.Password()
	auth := scram.Auth{User: u.User.Username(), Pass: password}
	switch how {
	case "", "scram-sha-512":
		a.opts = append(a.opts, kgo.SASL(auth.AsSha512Mechanism()))
	case "scram-sha-256":
		a.opts = append(a.opts, kgo.SASL(auth.AsSha256Mechanism()))
	case "plain":
		if u.Scheme != kafkaTLS {
			return errors.New("sasl=plain sends the password as it is: use kafka+tls://")
		}
		a.opts = append(a.opts, kgo.SASL(plain.Auth{User: auth.User, Pass: auth.Pass}.AsMechanism()))
	default:
		return fmt.Errorf("sasl=%.50s: give scram-sha-512, scram-sha-256 or plain", how)
	}
	return nil
}
