package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zrsd/zrsd/internal/zconfig"
)

// A Quorum is for how many secondaries commits wait: "1", or "1 of db2, db3".
type Quorum struct {
	Required int
	Names    []string // nil: of any
}

var quorum = kind[Quorum]{"number of names", readQuorum}

func readQuorum(text string) (q Quorum, err error) {
	number, names, of := strings.Cut(text, " of ")
	if q.Required, err = strconv.Atoi(strings.TrimSpace(number)); err != nil || q.Required < 0 {
		return Quorum{}, fmt.Errorf("%q: write a number such as 1, or a number of names such as 1 of db2, db3", text)
	}
	if !of {
		return q, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return Quorum{}, fmt.Errorf("%q: a name between the commas is empty", text)
		}
		q.Names = append(q.Names, name)
	}
	if q.Required > len(q.Names) {
		return Quorum{}, fmt.Errorf("%q: commits would wait forever: there are only %d names", text, len(q.Names))
	}
	return q, nil
}

// A Patience is how long secondaries may take, and what is done then: "10s", "10s block" or "10s degrade".
type Patience struct {
	Timeout time.Duration
	Degrade bool
}

var patience = kind[Patience]{"time-interval, and block or degrade", readPatience}

func readPatience(text string) (p Patience, err error) {
	fields := strings.Fields(text)
	if len(fields) == 2 {
		switch fields[1] {
		case "block":
		case "degrade":
			p.Degrade = true
		default:
			return Patience{}, fmt.Errorf("%q is not possible: write block or degrade after the time", fields[1])
		}
		fields = fields[:1]
	}
	if len(fields) != 1 {
		return Patience{}, fmt.Errorf("%q: write a time such as 10s, followed by block or degrade", text)
	}
	if p.Timeout, err = zconfig.Interval(fields[0]); err == nil && p.Timeout <= 0 {
		err = errors.New("a time above zero is needed, such as 10s")
	}
	return p, err
}
