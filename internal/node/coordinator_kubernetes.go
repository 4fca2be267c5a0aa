package node

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/zrsd/zrsd/cluster/lease/kubernetes"
	"github.com/zrsd/zrsd/internal/tlsauth"
)

// kubernetesScheme is that of an Address of the API server of the Kubernetes in which the process runs.
const kubernetesScheme = "kubernetes://"

// serviceAccount is where Kubernetes puts the token, the authorities and the namespace of a pod.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

func (c *CoordinatorConfig) isKubernetes() bool {
	return strings.HasPrefix(c.Address, kubernetesScheme)
}

// kubernetesOptions are how the API server is reached: as every pod is told by its environment and its service
// account, but for what is configured.
func (c *CoordinatorConfig) kubernetesOptions(own *tlsauth.Credentials) (opt kubernetes.Options, err error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return opt, &ConfigError{fmt.Sprintf("--coordinator %s: this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST "+
			"and KUBERNETES_SERVICE_PORT say where the API server is", c.Address)}
	}
	opt.Server = "https://" + net.JoinHostPort(host, port)
	if opt.TokenFile = c.UserFile; opt.TokenFile == "" {
		opt.TokenFile = filepath.Join(serviceAccount, "token")
	}
	if opt.Namespace = strings.TrimPrefix(c.Address, kubernetesScheme); opt.Namespace == "" {
		text, err := os.ReadFile(filepath.Join(serviceAccount, "namespace"))
		if err != nil {
			return opt, &StartError{Err: fmt.Errorf("--coordinator %s: the namespace of the pod: %w", c.Address, err)}
		}
		opt.Namespace = strings.TrimSpace(string(text))
	}
	opt.TLS, err = kubernetesTLS(own)
	return opt, err
}

// kubernetesTLS is with the authorities of the pod, where no others are given.
func kubernetesTLS(own *tlsauth.Credentials) (*tls.Config, error) {
	if own == nil {
		var err error
		if own, err = tlsauth.Load(tlsauth.Files{Authority: filepath.Join(serviceAccount, "ca.crt")}); err != nil {
			return nil, &StartError{Err: fmt.Errorf("TLS of the coordinator: %w", err)}
		}
	}
	return own.ClientConfig(), nil
}
