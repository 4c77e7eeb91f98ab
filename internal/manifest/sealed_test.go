package manifest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"

	"berth/internal/fault"
	"berth/internal/manifest"
	"berth/internal/secret"
)

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	made, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return made
}

// sealed exports a server with its secrets sealed for a key.
func (s *server) sealed(key *age.X25519Identity) string {
	s.t.Helper()
	doc, err := s.Export(s.t.Context(), manifest.Scope{Accounts: true})
	require.NoError(s.t, err)
	doc, err = s.Seal(s.t.Context(), "ana", doc, []string{key.Recipient().String()})
	require.NoError(s.t, err)
	raw, err := manifest.Encode(doc)
	require.NoError(s.t, err)
	return string(raw)
}

func open(t *testing.T, document string, key age.Identity) manifest.Values {
	t.Helper()
	doc, err := manifest.Parse([]byte(document))
	require.NoError(t, err)
	values, err := doc.Open([]age.Identity{key})
	require.NoError(t, err)
	return values
}

func TestSeal_CarriesSecretsToAnotherServer(t *testing.T) {
	from, key := newServer(t), newKey(t)
	from.apply(shop)
	from.set("shop", "DATABASE_URL", "postgres://here\n")
	from.set("shop", "odd", "\x00 \xff\r\n")
	require.NoError(t, from.accounts.SetAccount(t.Context(), "ana", nil, registryAccount("ghcr.io"), secret.New("a token")))
	document := from.sealed(key)
	require.NotContains(t, document, "postgres://here")
	require.NotContains(t, document, "a token")
	require.JSONEq(t, `{"recipients":["`+key.Recipient().String()+`"],"secrets":3}`, from.newest(manifest.Exported))

	to := newServer(t)
	r := to.request(document)
	r.Values = open(t, document, key)
	plan, err := to.Plan(t.Context(), r)
	require.NoError(t, err)
	_, err = to.Apply(t.Context(), "ana", r)
	require.NoError(t, err)

	for _, c := range plan.Changes {
		for _, f := range c.Fields {
			require.NotContains(t, f.To, "postgres://here")
			require.NotContains(t, f.To, "a token")
		}
	}
	value, err := to.vault.Get(t.Context(), "shop", "DATABASE_URL")
	require.NoError(t, err)
	require.Equal(t, "postgres://here\n", value.Reveal(), "byte by byte")
	value, err = to.vault.Get(t.Context(), "shop", "odd")
	require.NoError(t, err)
	require.Equal(t, "\x00 \xff\r\n", value.Reveal())
	to.hasPassword("a token")
	plan, err = to.Plan(t.Context(), r)
	require.NoError(t, err)
	require.Empty(t, plan.Changes, "the same values are not set again")
}

func TestApply_LeavesASealedSecretThatWasNotOpened(t *testing.T) {
	s, key := newServer(t), newKey(t)
	s.set("shop", "DATABASE_URL", "first")
	document := s.sealed(key)
	s.set("shop", "DATABASE_URL", "second")

	result := s.apply(document)

	require.Empty(t, result.Applied)
	require.Equal(t, []string{"the secret shop/DATABASE_URL is sealed and was not opened: what is there stays"}, result.Plan.Notes)
	value, err := s.vault.Get(t.Context(), "shop", "DATABASE_URL")
	require.NoError(t, err)
	require.Equal(t, "second", value.Reveal())
}

func TestOpen_NamesWhatItCanNot(t *testing.T) {
	s, key := newServer(t), newKey(t)
	s.set("shop", "DATABASE_URL", "hidden")
	document := s.sealed(key)
	doc, err := manifest.Parse([]byte(document))
	require.NoError(t, err)

	_, err = doc.Open([]age.Identity{newKey(t)})
	require.EqualError(t, err, "secrets.shop.DATABASE_URL: it is sealed for another key than the one given")

	broken := doc.Secrets["shop"]["DATABASE_URL"]
	broken.Sealed = strings.Replace(broken.Sealed, "\n", "\nA", 2)
	doc.Secrets["shop"]["DATABASE_URL"] = broken
	_, err = doc.Open([]age.Identity{key})
	require.Equal(t, fault.BadInput, fault.KindOf(err))
}

func TestApply_TakesNoValueThatTheDocumentHasNotSealed(t *testing.T) {
	s := newServer(t)
	s.set("shop", "DATABASE_URL", "first")
	r := s.request(`{berth: 1, secrets: {shop: {DATABASE_URL: {}}}}`)
	r.Values = manifest.Values{
		{Context: "shop", Name: "DATABASE_URL"}: secret.New("second"),
		{Context: "other", Name: "NAME"}:        secret.New("second"),
		manifest.PasswordOf("ghcr.io"):          secret.New("second"),
	}

	result, err := s.Apply(t.Context(), "ana", r)

	require.NoError(t, err)
	require.Empty(t, result.Applied)
}

func TestRecipientsAndIdentities_SayWhatTheyTake(t *testing.T) {
	private := newKey(t).String()
	for _, text := range []string{"", "age1", "ana", private, newKey(t).Recipient().String() + "\n" + newKey(t).Recipient().String()} {
		_, err := manifest.Recipients([]string{text})
		require.Equal(t, fault.BadInput, fault.KindOf(err), text)
		require.NotContains(t, err.Error(), private, "a key that was mixed up is not told on")
	}
	_, err := manifest.Identities(secret.New(private[:40]))
	require.Equal(t, fault.BadInput, fault.KindOf(err))
	require.NotContains(t, err.Error(), private[:40])
}

func TestSeed_SetsANewServerUpOnce(t *testing.T) {
	key := newKey(t)
	from := newServer(t)
	from.apply(shop)
	from.set("shop", "DATABASE_URL", "postgres://here")
	path := filepath.Join(t.TempDir(), "berth.yaml")
	require.NoError(t, os.WriteFile(path, []byte(from.sealed(key)), 0o600))

	s := newServer(t)
	require.ErrorContains(t, s.Seed(t.Context(), path, secret.Text{}), path+": it has sealed secrets: BERTH_SEED_IDENTITY_FILE names")
	require.ErrorContains(t, s.Seed(t.Context(), path, secret.New(newKey(t).String())), "sealed for another key")
	require.ErrorContains(t, s.Seed(t.Context(), path+".not", secret.Text{}), "no such file")
	require.NoError(t, s.Seed(t.Context(), path, secret.New("# created: today\n"+key.String()+"\n")))
	_, err := s.deploy.Stage(t.Context(), "shop", "prod")
	require.NoError(t, err)
	value, err := s.vault.Get(t.Context(), "shop", "DATABASE_URL")
	require.NoError(t, err)
	require.Equal(t, "postgres://here", value.Reveal())
	require.Contains(t, s.newest(manifest.Applied), path)

	require.NoError(t, os.WriteFile(path, []byte("nonsense"), 0o600))
	require.NoError(t, s.Seed(t.Context(), path, secret.Text{}), "it is not read any more")
	_, err = s.deploy.RemoveProject(t.Context(), "ana", "shop")
	require.NoError(t, err)
	require.NoError(t, s.Seed(t.Context(), path, secret.Text{}), "neither when all its projects were removed")
}

func TestSeed_KeepsNothingOfAFileThatIsWrong(t *testing.T) {
	s := newServer(t)
	path := filepath.Join(t.TempDir(), "berth.yaml")
	require.NoError(t, os.WriteFile(path, []byte(shop+"  blog: {image: blog, stages: {prod: {hostname: berth.test}}}\n"), 0o600))

	err := s.Seed(t.Context(), path, secret.Text{})

	require.ErrorContains(t, err, path+": projects.blog.stages.prod.hostname: line 23, column 49: berth.test is Berth's own")
	have, err := s.deploy.Configuration(t.Context())
	require.NoError(t, err)
	require.Empty(t, have)
	require.NoError(t, os.WriteFile(path, []byte(shop), 0o600))
	require.NoError(t, s.Seed(t.Context(), path, secret.Text{}), "the next start begins anew")
}

func TestSeed_LeavesAServerThatHasProjects(t *testing.T) {
	s := newServer(t)
	s.apply(`{berth: 1, projects: {blog: {image: blog}}}`)
	require.NoError(t, s.Seed(t.Context(), "/nowhere/berth.yaml", secret.Text{}))
}

// FuzzOpen opens anything as a sealed secret: it is what was sealed for the
// key, or it is refused in words.
func FuzzOpen(f *testing.F) {
	key, err := age.GenerateX25519Identity()
	require.NoError(f, err)
	sealFor := func(value string) string {
		var text strings.Builder
		armored := armor.NewWriter(&text)
		w, err := age.Encrypt(armored, key.Recipient())
		require.NoError(f, err)
		_, err = w.Write([]byte(value))
		require.NoError(f, err)
		require.NoError(f, w.Close())
		require.NoError(f, armored.Close())
		return text.String()
	}
	good := sealFor("hunter2")
	for _, seed := range []string{
		"", "x", good, good[:len(good)/2], strings.ToLower(good), good + good, sealFor(""), strings.Replace(good, "X25519", "scrypt", 1),
		"-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----", strings.ReplaceAll(good, "\n", "\r\n"), good[:100] + "A" + good[101:],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc := manifest.Document{Secrets: map[string]map[string]manifest.Secret{"shop": {"KEY": {Sealed: text}}}}
		opened, err := doc.Open([]age.Identity{key})
		if err != nil {
			kind := fault.KindOf(err)
			require.True(t, kind == fault.BadInput || kind == fault.TooLarge, err)
			require.NotContains(t, err.Error(), "hunter2")
			return
		}
		for slot, value := range opened {
			require.Equal(t, "hunter2", value.Reveal(), "%s: nobody but the test sealed anything for its key", slot.Name)
		}
	})
}
