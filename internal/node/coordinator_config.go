package node

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/zrsd/zrsd/cluster"
	"github.com/zrsd/zrsd/cluster/lease"
	"github.com/zrsd/zrsd/cluster/lease/etcd"
	"github.com/zrsd/zrsd/cluster/lease/kubernetes"
	"github.com/zrsd/zrsd/internal/endpoint"
	"github.com/zrsd/zrsd/internal/tlsauth"
)

// A CoordinatorConfig says who decides which node of a cluster leads. Address is required.
type CoordinatorConfig struct {
	Address  string         // etcd://HOST:PORT[,HOST:PORT…], or kubernetes://[NAMESPACE]
	Prefix   string         // of its keys, or name of its Lease; empty: /zrsd/ or zrsd-, and the storage's id
	TTL      time.Duration  // of the lease of a silent primary; 0: the default
	TLS      *tlsauth.Files // nil: plain text
	UserFile string         // has USER:PASSWORD, or the token of Kubernetes; empty: none, or the pod's

	// Client opens the coordinator instead, in tests.
	Client func() lease.Coordinator
}

const etcdScheme = "etcd://"

// hosts returns the addresses of the coordinator's servers.
func (c *CoordinatorConfig) hosts() ([]string, error) {
	list, ok := strings.CutPrefix(c.Address, etcdScheme)
	if !ok {
		return nil, fmt.Errorf("--coordinator %s: no such kind of coordinator: give %sHOST:2379[,HOST:2379], or %s in "+
			"a pod", c.Address, etcdScheme, kubernetesScheme)
	}
	hosts, err := endpoint.ParseList(list)
	if err != nil {
		return nil, fmt.Errorf("--coordinator %s: %w", c.Address, err)
	}
	var texts []string
	for _, h := range hosts {
		if h.Network() != "tcp" {
			return nil, fmt.Errorf("--coordinator %s: %v is no HOST:PORT", c.Address, h)
		}
		texts = append(texts, h.String())
	}
	return texts, nil
}

// timing is the arithmetic of leases.
func (c *CoordinatorConfig) timing() (lease.Timing, error) {
	ttl := c.TTL
	if ttl == 0 {
		ttl = lease.DefaultTTL
	}
	timing, err := lease.NewTiming(ttl)
	if err != nil {
		err = fmt.Errorf("--coordinator-ttl: %w", err)
	}
	return timing, err
}

// check reports the first setting that makes no sense. Plain text with other machines has to be allowed.
func (c *CoordinatorConfig) check(plainText bool) error {
	if c.Client != nil {
		return nil
	}
	if _, err := c.timing(); err != nil {
		return &ConfigError{err.Error()}
	}
	if c.isKubernetes() { // always with TLS
		return nil
	}
	hosts, err := c.hosts()
	if err != nil {
		return &ConfigError{err.Error()}
	}
	if c.TLS != nil || plainText {
		return nil
	}
	for _, host := range hosts {
		if e, err := endpoint.Parse(host); err != nil || !e.Local() {
			return &ConfigError{
				fmt.Sprintf("the coordinator at %s is another machine, and there is no encryption: give "+
					"--coordinator-tls-ca, or accept the risk with --insecure-plain-text", host),
			}
		}
	}
	return nil
}

// Open returns a client of the coordinator for a storage. It connects when it is used.
func (c *CoordinatorConfig) Open(storageID string) (lease.Coordinator, error) {
	var tls *tlsauth.Credentials
	if c.TLS != nil {
		var err error
		if tls, err = tlsauth.Load(*c.TLS); err != nil {
			return nil, &StartError{Err: fmt.Errorf("TLS of the coordinator: %w", err)}
		}
	}
	open, err := c.opener(tls)
	if err != nil {
		return nil, err
	}
	return open(storageID)
}

// files are those of its certificates. A nil CoordinatorConfig has none.
func (c *CoordinatorConfig) files() *tlsauth.Files {
	if c == nil {
		return nil
	}
	return c.TLS
}

// opener returns what opens the coordinator for a storage, with what was read of the files of its certificates.
func (c *CoordinatorConfig) opener(tls *tlsauth.Credentials) (open func(storageID string) (lease.Coordinator, error),
	err error) {
	if c.Client != nil {
		return func(string) (lease.Coordinator, error) { return c.Client(), nil }, nil
	}
	if c.isKubernetes() {
		opt, err := c.kubernetesOptions(tls)
		return func(storageID string) (lease.Coordinator, error) {
			if opt.Name = c.Prefix; opt.Name == "" {
				opt.Name = "zrsd-" + storageID
			}
			return kubernetes.Open(opt)
		}, err
	}
	opt, err := c.options()
	if err != nil {
		return nil, err
	}
	if tls != nil {
		opt.TLS = tls.ClientConfig()
	}
	return func(storageID string) (lease.Coordinator, error) {
		if opt.Prefix = c.Prefix; opt.Prefix == "" {
			opt.Prefix = "/zrsd/" + storageID
		}
		return etcd.Open(opt)
	}, nil
}

// coordinatorOptions are what a node of a cluster needs of the coordinator; nil: there is none.
func (c *Config) coordinatorOptions() (*cluster.CoordinatorOptions, error) {
	if c.Coordinator == nil {
		return nil, nil //nolint:nilnil // roles are changed by hand
	}
	timing, err := c.Coordinator.timing()
	if err != nil {
		return nil, &ConfigError{err.Error()}
	}
	open, err := c.Coordinator.opener(c.read.coordinator)
	if err != nil {
		return nil, err
	}
	return &cluster.CoordinatorOptions{Timing: timing, Open: open}, nil
}

// options are how the coordinator is reached, but for TLS. The file of the user is read.
func (c *CoordinatorConfig) options() (opt etcd.Options, err error) {
	if opt.Endpoints, err = c.hosts(); err != nil {
		return opt, &ConfigError{err.Error()}
	}
	if c.UserFile != "" {
		if opt.User, opt.Password, err = readUser(c.UserFile); err != nil {
			return opt, &StartError{Err: err}
		}
	}
	return opt, nil
}

// maxUserFile keeps a wrong file name from becoming a password.
const maxUserFile = 4096

// readUser reads USER:PASSWORD.
func readUser(name string) (user, password string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", "", fmt.Errorf("reading the coordinator's user: %w", err)
	}
	if info.Size() > maxUserFile {
		return "", "", fmt.Errorf(
			"reading the coordinator's user: %s has %d bytes, at most %d can be: is it the right "+
				"file?",
			name,
			info.Size(),
			maxUserFile,
		)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return "", "", fmt.Errorf("reading the coordinator's user: %w", err)
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(content), "\r\n"), ":")
	if !ok || user == "" {
		return "", "", fmt.Errorf("reading the coordinator's user: %s has to have one line, USER:PASSWORD", name)
	}
	return user, password, nil
}
