package api

import (
	"context"
	"net/http"
	"testing"

	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/stretchr/testify/require"

	"berth/internal/identity"
)

func TestRegister_RefusesARouteWithoutARule(t *testing.T) {
	a := &API{}
	bare := on(a, "GET /api/bare", rule{}, "bare", "Bare", func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
	err := a.register(humago.New(http.NewServeMux(), newHumaConfig()), []route{bare})
	require.EqualError(t, err, "route GET /api/bare has no access rule")
}

func TestCallerOf_IsNobodyWhenNobodyWasIdentified(t *testing.T) {
	require.Error(t, callerOf(t.Context()).allowed(rule{}, identity.On{}))
	require.NoError(t, callerOf(t.Context()).allowed(public, identity.On{}))
}
