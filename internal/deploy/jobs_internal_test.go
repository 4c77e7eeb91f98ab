package deploy

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestJobs_KnowWhatRunsWhenTheyAreAdmittedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j jobs
		running, most := 0, 0
		end := make(chan struct{})
		defer close(end)
		begin := map[string]beginning{jobDeploy: under(t.Context(), func(context.Context, string, <-chan struct{}) {
			running++
			most = max(most, running)
			<-end
			running--
		})}
		lift, err := j.bar(t.Context(), "barred")
		require.NoError(t, err)
		for range 2 {
			j.admit(begin)
			j.start(jobKey{jobDeploy, "stage"})
			j.start(jobKey{jobDeploy, "barred"})
			synctest.Wait()
		}
		require.Equal(t, 1, most, "one for the stage, and none for the one that is barred")
		lift()
		require.Empty(t, j.barred)
	})
}
