package integration

import (
	"debug/buildinfo"
	"strings"
	"testing"
)

// Google's client brings the discovery of services by Envoy's protocols unless a build tag says that nobody uses it.
// The initialisers of a hundred packages would run whenever zrsd starts.
func TestTheBinaryHasNothingOfEnvoy(t *testing.T) {
	info, err := buildinfo.ReadFile(zrsd)
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range info.Deps {
		if strings.Contains(dep.Path, "/envoyproxy/") || strings.Contains(dep.Path, "/cncf/xds/") {
			t.Errorf("the binary has %s", dep.Path)
		}
	}
}
