package vault_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"berth/internal/event"
	"berth/internal/fault"
	"berth/internal/secret"
	"berth/internal/sqlite"
	"berth/internal/vault"
)

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	key   = secret.New("a key of thirty-two characters!!")
)

type house struct {
	*vault.Vault
	db     *sqlite.DB
	events *event.Log
	now    time.Time
}

func open(t *testing.T) *house {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "berth.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	h := &house{db: db, events: event.New(event.Config{DB: db}), now: start}
	h.Vault, err = h.with(key)
	require.NoError(t, err)
	return h
}

func (h *house) with(key secret.Text) (*vault.Vault, error) {
	return vault.New(vault.Config{DB: h.db, Events: h.events, Key: key, Clock: func() time.Time { return h.now }})
}

// sql changes what is stored behind the vault's back.
func (h *house) sql(t *testing.T, query string, args ...any) {
	t.Helper()
	require.NoError(t, h.db.Write(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(t.Context(), query, args...)
		return err
	}))
}

func TestSet_IsWhatGetOpens(t *testing.T) {
	h := open(t)
	for _, value := range []string{"x", "with\nlines and \x00 and äöü", strings.Repeat("k", vault.MaxSize)} {
		_, err := h.Set(t.Context(), "ana", "shop/prod", "DATABASE_URL", secret.New(value))
		require.NoError(t, err)
		got, err := h.Get(t.Context(), "shop/prod", "DATABASE_URL")
		require.NoError(t, err)
		require.Equal(t, value, got.Reveal())
	}
}

func TestSet_CountsVersionsAndKeepsTheFirstTime(t *testing.T) {
	h := open(t)
	first, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New("one"))
	require.NoError(t, err)
	require.Equal(t, vault.Slot{Context: "shop", Name: "TOKEN", Version: 1, CreatedAt: start, UpdatedAt: start}, first)
	h.now = start.Add(time.Hour)
	second, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New("two"))
	require.NoError(t, err)
	require.Equal(t, vault.Slot{Context: "shop", Name: "TOKEN", Version: 2, CreatedAt: start, UpdatedAt: h.now}, second)
	list, err := h.List(t.Context(), "shop")
	require.NoError(t, err)
	require.Equal(t, []vault.Slot{second}, list)
}

func TestReplace_RefusesAVersionThatItsAuthorDidNotSee(t *testing.T) {
	h := open(t)
	replace := func(seen int64, value string) error {
		_, err := h.Replace(t.Context(), "ana", "shop", "TOKEN", &seen, secret.New(value))
		return err
	}
	require.Equal(t, fault.Clash, fault.KindOf(replace(1, "seen where there is none")))
	require.NoError(t, replace(0, "one"))
	require.Equal(t, fault.Clash, fault.KindOf(replace(0, "not seen")))
	require.NoError(t, replace(1, "two"))
	require.Equal(t, fault.Clash, fault.KindOf(replace(1, "late")))

	got, err := h.Get(t.Context(), "shop", "TOKEN")
	require.NoError(t, err)
	require.Equal(t, "two", got.Reveal())
	recorded, err := h.events.Since(t.Context(), 0, event.Filter{Kinds: []event.Kind{vault.SecretSet}}, 10)
	require.NoError(t, err)
	require.Len(t, recorded, 2, "what was refused did not happen")
}

func TestSet_AtOnceCountsEveryVersion(t *testing.T) {
	h := open(t)
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			if _, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New(fmt.Sprint("value ", i))); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	list, err := h.List(t.Context(), "")
	require.NoError(t, err)
	require.EqualValues(t, 20, list[0].Version)
	got, err := h.Get(t.Context(), "shop", "TOKEN")
	require.NoError(t, err)
	require.Contains(t, got.Reveal(), "value ")
}

func TestSet_RefusesWhatItCanNotKeep(t *testing.T) {
	h := open(t)
	_, err := h.Set(t.Context(), "ana", "shop", "BIG", secret.New(strings.Repeat("k", vault.MaxSize+1)))
	require.Equal(t, fault.TooLarge, fault.KindOf(err))
	_, err = h.Set(t.Context(), "ana", "shop", "EMPTY", secret.Text{})
	require.Equal(t, "value", fault.FieldsOf(err)[0].Name)

	for name, good := range map[string]bool{
		"A": true, "DATABASE_URL": true, "localhost:5000": true, "[::1]:5000": true, "team/shop": true, "a.b-c_d@e": true,
		strings.Repeat("n", 200): true, strings.Repeat("n", 201): false,
		"": false, " ": false, "a b": false, "ä": false, "a\x00b": false, "a\n": false, "/a": false, "a/": false,
		"a//b": false, "..": false, "a/../b": false, ".": false, "a%2f": false, "a?b": false,
	} {
		for _, names := range [][2]string{{name, "NAME"}, {"context", name}} {
			_, err := h.Set(t.Context(), "ana", names[0], names[1], secret.New("v"))
			if good {
				require.NoError(t, err, name)
			} else {
				require.Len(t, fault.FieldsOf(err), 1, "%q", name)
			}
		}
	}
}

func TestGet_NamesTheSlotThatIsMissing(t *testing.T) {
	h := open(t)
	_, err := h.Get(t.Context(), "shop/prod", "DATABASE_URL")
	require.Equal(t, fault.Missing, fault.KindOf(err))
	require.Equal(t, `there is no secret "DATABASE_URL" in "shop/prod"`, fault.Message(err))
}

func TestRemove_ForgetsForGood(t *testing.T) {
	h := open(t)
	_, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New("one"))
	require.NoError(t, err)
	require.NoError(t, h.Remove(t.Context(), "ana", "shop", "TOKEN"))
	_, err = h.Get(t.Context(), "shop", "TOKEN")
	require.Equal(t, fault.Missing, fault.KindOf(err))
	require.Equal(t, fault.Missing, fault.KindOf(h.Remove(t.Context(), "ana", "shop", "TOKEN")))
}

func TestList_GivesOneContextOrAll(t *testing.T) {
	h := open(t)
	for _, at := range [][2]string{{"b", "2"}, {"a", "1"}, {"b", "1"}} {
		_, err := h.Set(t.Context(), "ana", at[0], at[1], secret.New("v"))
		require.NoError(t, err)
	}
	names := func(slotContext string) (names []string) {
		list, err := h.List(t.Context(), slotContext)
		require.NoError(t, err)
		require.NotNil(t, list)
		for _, slot := range list {
			names = append(names, slot.Context+slot.Name)
		}
		return names
	}
	require.Equal(t, []string{"a1", "b1", "b2"}, names(""))
	require.Equal(t, []string{"b1", "b2"}, names("b"))
	require.Empty(t, names("c"))
}

func TestNew_KnowsItsKeyAgainAndNoOther(t *testing.T) {
	h := open(t)
	_, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New("one"))
	require.NoError(t, err)

	again, err := h.with(key)
	require.NoError(t, err)
	got, err := again.Get(t.Context(), "shop", "TOKEN")
	require.NoError(t, err)
	require.Equal(t, "one", got.Reveal())

	_, err = h.with(secret.New("another key of thirty-two chars!"))
	require.ErrorIs(t, err, vault.ErrWrongKey)
	require.ErrorContains(t, err, "the secret key is not the one this data was sealed with")
	_, err = h.with(secret.Text{})
	require.ErrorContains(t, err, "no secret key")
}

func TestGet_OpensNothingThatWasMovedOrAltered(t *testing.T) {
	for name, spoil := range map[string]string{
		"moved to another name":       "UPDATE slots SET sealed = (SELECT sealed FROM slots WHERE name = 'OTHER') WHERE name = 'TOKEN'",
		"moved to another context":    "UPDATE slots SET sealed = (SELECT sealed FROM slots WHERE context = 'blog') WHERE name = 'TOKEN' AND context = 'shop'",
		"an earlier one brought back": "UPDATE slots SET version = 2 WHERE name = 'TOKEN'",
		"a byte more":                 "UPDATE slots SET sealed = CAST(sealed || x'00' AS BLOB) WHERE name = 'TOKEN'",
		"cut short":                   "UPDATE slots SET sealed = substr(sealed, 1, 10) WHERE name = 'TOKEN'",
		"emptied":                     "UPDATE slots SET sealed = x'' WHERE name = 'TOKEN'",
		"another form":                "UPDATE slots SET sealed = CAST(x'02' || substr(sealed, 2) AS BLOB) WHERE name = 'TOKEN'",
	} {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			for _, at := range [][2]string{{"shop", "TOKEN"}, {"shop", "OTHER"}, {"blog", "TOKEN"}} {
				_, err := h.Set(t.Context(), "ana", at[0], at[1], secret.New("hunter2"))
				require.NoError(t, err)
			}
			h.sql(t, spoil)
			got, err := h.Get(t.Context(), "shop", "TOKEN")
			require.Error(t, err)
			require.Equal(t, fault.Internal, fault.KindOf(err))
			require.ErrorContains(t, err, "open secret shop/TOKEN")
			require.True(t, got.Empty())
		})
	}
}

func TestVault_LeavesItsOwnSlotsToTheEventsOfWhatTheyBelongTo(t *testing.T) {
	h := open(t)
	for _, slotContext := range []string{"registry", "berth/notify", "berth/webhook"} {
		require.True(t, vault.Inner(slotContext))
		_, err := h.Set(t.Context(), "ana", slotContext, "ghcr.io", secret.New("x"))
		require.NoError(t, err)
		require.NoError(t, h.Remove(t.Context(), "ana", slotContext, "ghcr.io"))
	}
	for _, slotContext := range []string{"shop", "registry/shop", "berth", "berths/x"} {
		require.False(t, vault.Inner(slotContext))
	}
	list, err := h.events.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestVault_WritesNoValueAnywhere(t *testing.T) {
	h := open(t)
	const value = "hunter2-is-nowhere-to-be-read"
	_, err := h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New(value))
	require.NoError(t, err)
	_, err = h.Set(t.Context(), "ana", "shop", "TOKEN", secret.New(value+"2"))
	require.NoError(t, err)
	require.NoError(t, h.Remove(t.Context(), "bob", "shop", "TOKEN"))

	list, err := h.events.Since(t.Context(), 0, event.Filter{}, 0)
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, vault.SecretSet, list[1].Kind)
	require.JSONEq(t, `{"context":"shop","name":"TOKEN","version":2}`, string(list[1].Data))
	require.Equal(t, vault.SecretRemoved, list[2].Kind)
	require.Equal(t, "bob", list[2].Actor)

	path := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, h.db.CopyTo(context.Background(), path))
	for _, file := range []string{path, h.db.Path(), h.db.Path() + "-wal"} {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "hunter2", file)
	}
}
