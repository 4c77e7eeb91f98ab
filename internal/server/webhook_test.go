package server

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"berth/internal/deploy"
	"berth/internal/needs"
	"berth/internal/registry"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/webhook"
)

// TestWebhooks_ReplayedTenThousandTimesMakeOneDeployment has a real registry,
// with a password, and everything of Berth's but an engine.
func TestWebhooks_ReplayedTenThousandTimesMakeOneDeployment(t *testing.T) {
	const times = 10_000
	host := needs.Registry(t, "ina", "ina-password")
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running errgroup.Group
	running.Go(func() error { return s.watcher.Run(ctx) })
	running.Go(func() error { return s.deploy.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		require.NoError(t, running.Wait())
	})

	push := func() {
		image, err := random.Image(64, 1)
		require.NoError(t, err)
		repository, err := name.NewRepository(host + "/shop")
		require.NoError(t, err)
		require.NoError(t, remote.Write(repository.Tag("latest"), image, remote.WithAuth(&authn.Basic{Username: "ina", Password: "ina-password"})))
	}
	push()
	require.NoError(t, s.resolver.SetAccount(ctx, "ana", nil, registry.RegistryAccount{Host: host, Username: "ina"}, secret.New("ina-password")))
	_, err := s.deploy.CreateProject(ctx, "ana", deploy.Project{Name: "shop", Image: host + "/shop"})
	require.NoError(t, err)
	_, err = s.deploy.CreateStage(ctx, "ana", "shop", "prod", deploy.StageSpec{Hostname: "shop.localhost", Tags: deploy.TagRule{Kind: deploy.TagExact, Pattern: "latest"}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		list, _ := s.watcher.Sources("", "", 0)
		return len(list) == 1 && list[0].State == registry.SourceOK
	}, 20*time.Second, 10*time.Millisecond, "what is there at first is taken note of")
	push()

	// The same service with no limit to how often it is told.
	hooks, err := webhook.New(webhook.Config{DB: s.db, Events: s.events, Secrets: s.vault, Hinter: s.watcher, BaseURL: s.settings.BaseURL, Rate: 1e6})
	require.NoError(t, err)
	made, err := hooks.Add(ctx, "ana", webhook.Request{Name: "ci", Source: webhook.Generic})
	require.NoError(t, err)
	delivery := webhook.Incoming{
		Source: webhook.Generic, Token: secret.New(filepath.Base(made.URL.Reveal())), Header: http.Header{},
		Body: fmt.Appendf(nil, `{"image":%q}`, host+"/shop:latest"), Address: "192.0.2.1",
	}
	var senders errgroup.Group
	for range 50 {
		senders.Go(func() error {
			for range times / 50 {
				if d, err := hooks.Receive(ctx, delivery); err != nil || d.Verdict != webhook.Accepted {
					return fmt.Errorf("%s %s: %w", d.Verdict, d.Reason, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, senders.Wait())
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, s.db.Read(ctx, func(tx *sqlite.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM registry_hints`).Scan(&left)
		}))
		return left == 0
	}, 30*time.Second, 20*time.Millisecond, "all is looked up")

	deployments := func() []deploy.Deployment {
		list, _, err := s.deploy.Deployments(ctx, deploy.DeploymentFilter{Project: "shop"}, deploy.Page{})
		require.NoError(t, err)
		return list
	}
	require.Eventually(t, func() bool { return len(deployments()) > 0 }, 20*time.Second, 10*time.Millisecond)
	list := deployments()
	require.Len(t, list, 1)
	require.Equal(t, deploy.TriggerWebhook, list[0].Trigger)
	require.Equal(t, "latest", list[0].Reference)
	kept, _, err := hooks.Deliveries(ctx, made.Webhook.ID, "", times)
	require.NoError(t, err)
	require.Len(t, kept, 200)
}
