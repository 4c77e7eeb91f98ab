package webhook

import (
	"encoding/json"
	"net/url"
	"strings"

	"berth/internal/registry"
)

// parseDockerHub reads what Docker Hub sends of each push. It has no other
// event.
// https://docs.docker.com/docker-hub/repos/manage/webhooks/#example-webhook-payload
func parseDockerHub(_ string, body []byte) (Parsed, error) {
	var b struct {
		PushData *struct {
			Tag string `json:"tag"`
		} `json:"push_data"`
		Repository struct {
			RepoName string `json:"repo_name"`
		} `json:"repository"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	switch {
	case b.PushData == nil || b.PushData.Tag == "":
		return Parsed{}, lacking("Docker Hub", "push_data.tag")
	case b.Repository.RepoName == "":
		return Parsed{}, lacking("Docker Hub", "repository.repo_name")
	}
	return Parsed{Event: "push", Hints: []registry.Hint{{Repository: "docker.io/" + b.Repository.RepoName, Tag: b.PushData.Tag}}}, nil
}

// gitHubPackage is the part of both of GitHub's events that tells of an image.
type gitHubPackage struct {
	Name        string `json:"name"`
	PackageType string `json:"package_type"`
	Ecosystem   string `json:"ecosystem"`
	Owner       struct {
		Login string `json:"login"`
	} `json:"owner"`
	Version struct {
		Version    string `json:"version"`
		PackageURL string `json:"package_url"`
		Container  *struct {
			Tag struct {
				Name   string `json:"name"`
				Digest string `json:"digest"`
			} `json:"tag"`
		} `json:"container_metadata"`
	} `json:"package_version"`
}

// parseGitHub reads the events registry_package and package. They come once
// for each manifest; those of an index's platforms have no tag.
// https://docs.github.com/en/webhooks/webhook-events-and-payloads#registry_package
// and its schemas in https://github.com/octokit/webhooks.
func parseGitHub(event string, body []byte) (Parsed, error) {
	var b struct {
		Action   string         `json:"action"`
		Registry *gitHubPackage `json:"registry_package"`
		Package  *gitHubPackage `json:"package"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	p := b.Registry
	if p == nil {
		p = b.Package
	}
	event = strings.Trim(event+"."+b.Action, ".")
	switch {
	case event != "" && !strings.HasPrefix(event, "package") && !strings.HasPrefix(event, "registry_package"):
		return Parsed{Event: event, Ignored: "the event tells of no package"}, nil
	case p == nil:
		return Parsed{}, lacking("GitHub", "registry_package or package")
	case b.Action != "published" && b.Action != "updated":
		return Parsed{Event: event, Ignored: "nothing was published"}, nil
	case !p.isContainer():
		return Parsed{Event: event, Ignored: "the package is no container image"}, nil
	}
	hint := registry.Hint{Repository: p.repository()}
	if c := p.Version.Container; c != nil {
		hint.Tag, hint.Digest = c.Tag.Name, c.Tag.Digest
	}
	if hint.Tag == "" {
		hint.Tag = p.Version.Version // a tag or a digest
	}
	return Parsed{Event: event, Hints: []registry.Hint{hint}}, nil
}

func (p *gitHubPackage) isContainer() bool {
	for _, kind := range []string{p.PackageType, p.Ecosystem} {
		if strings.EqualFold(kind, "container") || strings.EqualFold(kind, "docker") {
			return true
		}
	}
	return p.Version.Container != nil
}

// repository takes the tag off the package's address, "ghcr.io/Ana/shop:1".
func (p *gitHubPackage) repository() string {
	at := p.Version.PackageURL
	if at == "" {
		return "ghcr.io/" + p.Owner.Login + "/" + p.Name
	}
	if i := strings.LastIndexByte(at, ':'); i > strings.LastIndexByte(at, '/') {
		at = at[:i]
	}
	return strings.TrimPrefix(at, "https://")
}

// parseGitea reads the event package of Gitea and Forgejo.
// https://docs.gitea.com/usage/repository/webhooks, and PackagePayload in
// modules/structs/hook.go of both.
func parseGitea(event string, body []byte) (Parsed, error) {
	var b struct {
		Action  string `json:"action"`
		Package *struct {
			Type    string `json:"type"`
			Name    string `json:"name"`
			Version string `json:"version"`
			HTMLURL string `json:"html_url"`
			Owner   struct {
				Login    string `json:"login"`
				Username string `json:"username"`
				HTMLURL  string `json:"html_url"`
			} `json:"owner"`
		} `json:"package"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	switch p := b.Package; {
	case event != "" && event != "package":
		return Parsed{Event: event, Ignored: "the event tells of no package"}, nil
	case p == nil:
		return Parsed{}, lacking("the forge", "package")
	case b.Action != "created":
		return Parsed{Event: "package." + b.Action, Ignored: "nothing was published"}, nil
	case p.Type != "container":
		return Parsed{Event: "package.created", Ignored: "the package is no container image"}, nil
	case p.Name == "" || p.Version == "":
		return Parsed{}, lacking("the forge", "package.name or package.version")
	default:
		owner := p.Owner.Login
		if owner == "" {
			owner = p.Owner.Username
		}
		host := hostOf(p.HTMLURL)
		if host == "" {
			host = hostOf(p.Owner.HTMLURL)
		}
		return Parsed{Event: "package.created", Hints: []registry.Hint{{Repository: joinPath(host, owner, p.Name), Tag: p.Version}}}, nil
	}
}

// parseDistribution reads the events of CNCF Distribution, and of GitLab's
// registry, which has them from it.
// https://distribution.github.io/distribution/about/notifications/
func parseDistribution(event string, body []byte) (Parsed, error) {
	var b struct {
		Events *[]struct {
			Action string `json:"action"`
			Target struct {
				MediaType  string `json:"mediaType"`
				Digest     string `json:"digest"`
				Repository string `json:"repository"`
				URL        string `json:"url"`
				Tag        string `json:"tag"`
			} `json:"target"`
			Request struct {
				Host string `json:"host"`
			} `json:"request"`
		} `json:"events"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	if b.Events == nil {
		if event != "" {
			return Parsed{Event: event, Ignored: "the event is none of the registry's"}, nil
		}
		return Parsed{}, lacking("the registry", "events")
	}
	parsed := Parsed{Event: "push", Ignored: "no image was pushed", Usual: len(*b.Events) > 0}
	for _, e := range *b.Events {
		if e.Action != "push" || !isManifest(e.Target.MediaType) {
			parsed.Usual = parsed.Usual && (e.Action == "push" || e.Action == "pull")
			continue
		}
		host := e.Request.Host
		if host == "" {
			host = hostOf(e.Target.URL)
		}
		parsed.Ignored, parsed.Usual = "", false
		parsed.Hints = append(parsed.Hints, registry.Hint{
			Repository: joinPath(host, e.Target.Repository), Tag: e.Target.Tag, Digest: e.Target.Digest,
		})
	}
	if parsed.Ignored != "" && len(*b.Events) > 0 {
		parsed.Event = (*b.Events)[0].Action
	}
	return parsed, nil
}

// isManifest tells images from their layers.
func isManifest(mediaType string) bool {
	return strings.Contains(mediaType, "manifest") || strings.Contains(mediaType, "image.index")
}

// cloudEvent is the envelope of structured CloudEvents.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	Type        string          `json:"type"`
	Data        json.RawMessage `json:"data"`
}

// openEvent gives the type and the data of a CloudEvent: out of its envelope,
// or, in binary mode, where a header names the type, the body itself.
func openEvent(event string, body []byte) (kind string, data []byte, isEvent bool, err error) {
	if event != "" {
		return event, body, true, nil
	}
	var e cloudEvent
	if err := decode(body, &e); err != nil {
		return "", nil, false, err
	}
	if e.SpecVersion == "" {
		return e.Type, body, false, nil
	}
	return e.Type, e.Data, true, nil
}

// parseHarbor reads both of Harbor's forms, Default and CloudEvents.
// https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/
func parseHarbor(event string, body []byte) (Parsed, error) {
	kind, data, isEvent, err := openEvent(event, body)
	if err != nil {
		return Parsed{}, err
	}
	type pushed struct {
		Resources []struct {
			Digest      string `json:"digest"`
			Tag         string `json:"tag"`
			ResourceURL string `json:"resource_url"`
		} `json:"resources"`
	}
	var found pushed
	if isEvent {
		if kind != "harbor.artifact.pushed" {
			return Parsed{Event: kind, Ignored: "no image was pushed", Usual: kind == "harbor.artifact.pulled"}, nil
		}
		err = decode(data, &found)
	} else {
		if kind == "" {
			return Parsed{}, lacking("Harbor", "type")
		}
		if kind != "PUSH_ARTIFACT" {
			return Parsed{Event: kind, Ignored: "no image was pushed", Usual: kind == "PULL_ARTIFACT"}, nil
		}
		var b struct {
			EventData *pushed `json:"event_data"`
		}
		if err = decode(data, &b); err == nil && b.EventData != nil {
			found = *b.EventData
		}
	}
	if err != nil {
		return Parsed{}, err
	}
	if len(found.Resources) == 0 {
		return Parsed{}, lacking("Harbor", "resources")
	}
	parsed := Parsed{Event: kind}
	for _, r := range found.Resources {
		parsed.Hints = append(parsed.Hints, registry.Hint{Repository: withoutReference(r.ResourceURL), Tag: r.Tag, Digest: r.Digest})
	}
	return parsed, nil
}

// parseQuay reads the event repo_push; what has no updated_tags is another.
// https://docs.redhat.com/en/documentation/red_hat_quay/3/html/use_red_hat_quay/repository_notifications
func parseQuay(_ string, body []byte) (Parsed, error) {
	var b struct {
		DockerURL   string          `json:"docker_url"`
		UpdatedTags json.RawMessage `json:"updated_tags"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	if b.DockerURL == "" {
		return Parsed{}, lacking("Quay", "docker_url")
	}
	if len(b.UpdatedTags) == 0 || string(b.UpdatedTags) == "null" {
		return Parsed{Ignored: "no tag was updated"}, nil
	}
	// A list, and in what older ones send a map from tag to image.
	var tags []string
	if json.Unmarshal(b.UpdatedTags, &tags) != nil {
		var byName map[string]json.RawMessage
		if json.Unmarshal(b.UpdatedTags, &byName) != nil {
			return Parsed{}, lacking("Quay", "list in updated_tags")
		}
		for tag := range byName {
			tags = append(tags, tag)
		}
	}
	parsed := Parsed{Event: "repo_push"}
	for _, tag := range tags {
		parsed.Hints = append(parsed.Hints, registry.Hint{Repository: withoutReference(b.DockerURL), Tag: tag})
	}
	if len(tags) == 0 {
		parsed.Ignored = "no tag was updated"
	}
	return parsed, nil
}

// parseZot reads zot's CloudEvents. They do not say where zot is.
// https://zotregistry.dev/latest/articles/events/, and pkg/extensions/events of
// zot.
func parseZot(event string, body []byte) (Parsed, error) {
	kind, data, isEvent, err := openEvent(event, body)
	switch {
	case err != nil:
		return Parsed{}, err
	case !isEvent:
		return Parsed{}, lacking("zot", "CloudEvent")
	case kind != "zotregistry.image.updated":
		return Parsed{Event: kind, Ignored: "no image was pushed"}, nil
	}
	var b struct {
		Name      string `json:"name"`
		Reference string `json:"reference"`
		Digest    string `json:"digest"`
	}
	if err := decode(data, &b); err != nil {
		return Parsed{}, err
	}
	if b.Name == "" {
		return Parsed{}, lacking("zot", "name")
	}
	return Parsed{Event: kind, Hints: []registry.Hint{{Repository: b.Name, Tag: b.Reference, Digest: b.Digest}}}, nil
}

// parseGeneric reads Berth's own form: {"image": "ghcr.io/ana/shop:1.4"}, a
// list of these as "images", or "repository" with "tag" and "digest".
func parseGeneric(_ string, body []byte) (Parsed, error) {
	var b struct {
		Image      string   `json:"image"`
		Images     []string `json:"images"`
		Repository string   `json:"repository"`
		Tag        string   `json:"tag"`
		Digest     string   `json:"digest"`
	}
	if err := decode(body, &b); err != nil {
		return Parsed{}, err
	}
	parsed := Parsed{Event: "push"}
	if b.Image != "" {
		b.Images = append(b.Images, b.Image)
	}
	for _, image := range b.Images {
		repository := withoutReference(image)
		tag, digest, _ := strings.Cut(strings.TrimPrefix(image, repository), "@")
		parsed.Hints = append(parsed.Hints, registry.Hint{Repository: repository, Tag: strings.TrimPrefix(tag, ":"), Digest: digest})
	}
	if b.Repository != "" {
		parsed.Hints = append(parsed.Hints, registry.Hint{Repository: b.Repository, Tag: b.Tag, Digest: b.Digest})
	}
	if len(parsed.Hints) == 0 {
		return Parsed{}, lacking("a sender", `image, images or repository, such as {"image": "ghcr.io/ana/shop:1.4"}`)
	}
	return parsed, nil
}

// withoutReference takes ":tag" or "@sha256:…" off an image's reference.
func withoutReference(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') && strings.Contains(image, "/") {
		image = image[:i]
	}
	return image
}

// hostOf gives the host of an address, with its port; "" when it is none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

func joinPath(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, "/")
}
