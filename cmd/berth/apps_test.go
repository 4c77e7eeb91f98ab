package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUser_EntersAppsAndRunsNothing(t *testing.T) {
	h := newHouse(t)
	require.Zero(t, h.local("a long enough password\n", "people", "add", "una", "--role", "user").code)
	h.must("people", "edit", "una", "--name", "Una")
	require.Regexp(t, `una +Una +user +active`, h.must("people"))

	s := h.run("a long enough password", "login", h.url, "-u", "una")
	require.Zero(t, s.code, s.err)
	require.Regexp(t, `(?s)una.*Role: +user.*Scope: +read`, h.run("", "account").out)
	s = h.run("", "apps")
	require.Zero(t, s.code, s.err)
	require.Contains(t, s.out, "ADDRESS")
	for _, args := range [][]string{{"status"}, {"project", "create", "shop"}, {"secret"}, {"people"}, {"events"}} {
		s = h.run("", args...)
		require.Equal(t, exitDenied, s.code, args)
		require.Contains(t, s.err, "administrator", args)
	}
	s = h.run("a long enough password", "login", h.url, "-u", "una", "--scope", "deploy")
	require.Equal(t, exitInput, s.code)
	require.Contains(t, s.err, "scope: is read")
}

func TestAccessSet_IsForAdministrators(t *testing.T) {
	h := newHouse(t)
	h.must("project", "create", "shop")
	h.must("stage", "create", "shop", "prod", "--hostname", "shop.localhost")
	require.Zero(t, h.local("a long enough password\n", "people", "add", "bo").code)
	require.Zero(t, h.run("a long enough password", "login", h.url, "-u", "bo").code)
	for _, args := range [][]string{
		{"access", "set", "shop", "prod", "public"},
		{"stage", "edit", "shop", "prod", "--access", "public"},
		{"stage", "create", "shop", "open", "--hostname", "open.localhost", "--access", "public"},
	} {
		s := h.run("", args...)
		require.Equal(t, exitDenied, s.code, s.err)
		require.Contains(t, s.err, "only administrators change who may enter an app", args)
	}
	require.Contains(t, h.must("access", "show", "shop", "prod"), "who has signed in")
	s := h.run("", "stage", "edit", "shop", "prod", "--replicas", "2")
	require.Zero(t, s.code, s.err)
	h.must("access", "set", "shop", "prod", "public")
	require.Zero(t, h.run("", "stage", "edit", "shop", "prod", "--replicas", "1").code, "what an administrator chose stays")
}
