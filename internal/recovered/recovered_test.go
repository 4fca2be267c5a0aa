package recovered_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/zrsd/zrsd/internal/recovered"
)

func fall() error {
	var list []int
	return errors.New(strings.Repeat("x", list[3]))
}

func TestAPanicIsAnErrorThatIsCountedAndLoggedWithItsStack(t *testing.T) {
	var log bytes.Buffer
	before := recovered.Count()
	err := recovered.Do(hclog.New(&hclog.LoggerOptions{Output: &log}), "reading a message", fall)
	var e *recovered.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "reading a message") ||
		!strings.Contains(err.Error(), "index out of range") {
		t.Errorf("the error is %v", err)
	}
	if n := recovered.Count() - before; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
	if !strings.Contains(log.String(), "recovered_test.fall") {
		t.Errorf("the log does not say where it was:\n%s", &log)
	}
}

func TestManyPanicsWriteFewStacks(t *testing.T) {
	var log bytes.Buffer
	to := hclog.New(&hclog.LoggerOptions{Output: &log})
	for range 1000 {
		_ = recovered.Do(to, "reading a message", fall)
	}
	if log.Len() > 100<<10 {
		t.Errorf("1000 panics wrote %d bytes", log.Len())
	}
}

func TestWhatMustNotBeHalfDoneEndsTheProcess(t *testing.T) {
	if os.Getenv("ZRSD_TEST_FALL") != "" {
		_ = recovered.Do(hclog.NewNullLogger(), "the messages of a client", func() error {
			recovered.Must("committing", func() { _ = fall() })
			return nil
		})
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "ZRSD_TEST_FALL=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "committing: panic") ||
		!strings.Contains(string(out), "recovered_test.fall") {
		t.Errorf("the process ended with %v and said\n%s", err, out)
	}
}
