package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/deploy"
)

func TestServedBefore_IsWhatWasLiveAndNotTakenBack(t *testing.T) {
	type d = deploy.Deployment
	all := map[string]bool{"1": true, "2": true, "3": true}
	for name, c := range map[string]struct {
		newestFirst []d
		here        map[string]bool
		want        string
	}{
		"the one before":                                 {[]d{{Release: "2", State: deploy.Live}, {Release: "1", State: deploy.Replaced}}, all, "1"},
		"none before":                                    {[]d{{Release: "1", State: deploy.Live}}, all, ""},
		"none live":                                      {[]d{{Release: "2", State: deploy.Failed}, {Release: "1", State: deploy.Replaced}}, all, ""},
		"not one that failed":                            {[]d{{Release: "3", State: deploy.Live}, {Release: "2", State: deploy.Failed}, {Release: "1", State: deploy.Replaced}}, all, "1"},
		"nor one that the guard took back":               {[]d{{Release: "3", State: deploy.Live}, {Release: "2", State: deploy.Reverted}, {Release: "1", State: deploy.Replaced}}, all, "1"},
		"nor one whose image is gone":                    {[]d{{Release: "3", State: deploy.Live}, {Release: "2", State: deploy.Replaced}, {Release: "1", State: deploy.Replaced}}, map[string]bool{"1": true, "3": true}, "1"},
		"not the live one again, as after a redeploy":    {[]d{{Release: "2", State: deploy.Live, Kind: deploy.KindRedeploy}, {Release: "2", State: deploy.Replaced}, {Release: "1", State: deploy.Replaced}}, all, "1"},
		"a newer release, whose tag was moved back":      {[]d{{Release: "1", State: deploy.Live}, {Release: "2", State: deploy.Replaced}, {Release: "1", State: deploy.Replaced}}, all, "2"},
		"after a roll back, one further back":            {[]d{{Release: "2", State: deploy.Live, Kind: deploy.KindRollback}, {Release: "3", State: deploy.Replaced}, {Release: "2", State: deploy.Replaced}, {Release: "1", State: deploy.Replaced}}, all, "1"},
		"after one to what is in the list no more":       {[]d{{Release: "1", State: deploy.Live, Kind: deploy.KindRollback}, {Release: "2", State: deploy.Replaced}}, all, "2"},
		"also while a newer one is on its way or failed": {[]d{{Release: "3", State: deploy.Running}, {Release: "3", State: deploy.Failed}, {Release: "2", State: deploy.Live}, {Release: "1", State: deploy.Replaced}}, all, "1"},
	} {
		require.Equal(t, c.want, servedBefore(c.newestFirst, c.here), name)
	}
}
