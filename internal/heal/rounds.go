package heal

import (
	"context"

	"github.com/zrsd/zrsd/internal/verify"
)

// maxRounds bounds how often a copy is verified for one request: a pass ends at the first broken length, and what is
// after that only the next one finds.
const maxRounds = 100

// Rounds verifies a copy and heals what was found, again for as long as that finds more, and returns what was done and
// the last pass. With dry there is one round.
func Rounds(ctx context.Context, dry bool, verified func(context.Context) (*verify.Pass, error),
	healed func(context.Context, []verify.Suspect) (*Report, error)) (*Report, *verify.Pass, error) {
	var all *Report
	for round := 1; ; round++ {
		pass, err := verified(ctx)
		if pass == nil || err != nil && len(pass.Suspects) == 0 {
			return all, pass, err
		}
		report, err := healed(ctx, pass.Suspects)
		if all == nil {
			all = report
		} else {
			all.Merge(report)
		}
		if err != nil || dry || report.Healed == 0 || round == maxRounds {
			return all, pass, err
		}
	}
}
