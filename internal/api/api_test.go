package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"berth/internal/api"
	"berth/internal/event"
)

// call is one request and all that it should bring about.
type call struct {
	name   string
	as     string
	method string
	path   string
	body   string
	status int
	holds  []string     // what the answer's body has in it
	lacks  []string     // and what not
	events []event.Kind // what happened, in order
}

const goodSpec = `{"hostname":"new.example.com","tags":{"kind":"none"}}`

var calls = []call{
	// Setting up and signing in.
	{name: "set-up is done", method: "GET", path: "/api/setup", status: 200, holds: []string{`{"needed":false}`}},
	{
		name: "set-up link after the set-up", method: "POST", path: "/api/setup",
		body: `{"token":"guess","username":"eve","password":"correct horse battery"}`, status: 409, lacks: []string{"guess", "correct"},
	},
	{
		name: "sign in", method: "POST", path: "/api/session", body: `{"username":"ana","password":"` + password + `"}`,
		status: 200, holds: []string{`"username":"ana"`, `"via":"session"`}, lacks: []string{password}, events: []event.Kind{"signin.succeeded"},
	},
	{
		name: "sign in with a wrong password", method: "POST", path: "/api/session", body: `{"username":"ana","password":"wrong-password"}`,
		status: 401, holds: []string{`"code":"unauthenticated"`}, lacks: []string{"wrong-password"}, events: []event.Kind{"signin.failed"},
	},
	{
		name: "sign in as nobody known", method: "POST", path: "/api/session", body: `{"username":"eve","password":"wrong-password"}`,
		status: 401, holds: []string{`"code":"unauthenticated"`}, events: []event.Kind{"signin.failed"},
	},
	{
		name: "sign in without a password", method: "POST", path: "/api/session", body: `{"username":"ana"}`,
		status: 422, holds: []string{`"code":"invalid"`, `"location":"body"`, "password"},
	},
	{
		name: "sign in with more than is asked", method: "POST", path: "/api/session", body: `{"username":"ana","password":"` + password + `","admin":true}`,
		status: 422, holds: []string{`"location":"body.admin"`}, lacks: []string{password},
	},
	{name: "sign in with broken JSON", method: "POST", path: "/api/session", body: `{"username":"ana","password":"hun`, status: 400, lacks: []string{"hun"}},
	{name: "sign in with nothing", method: "POST", path: "/api/session", status: 400, holds: []string{`"status":400`}},
	{name: "who am I", as: member, method: "GET", path: "/api/session", status: 200, holds: []string{`"username":"bo"`, `"role":"member"`}},
	{name: "who am I on this machine", as: onMachine, method: "GET", path: "/api/session", status: 200, holds: []string{`"via":"local"`}},
	{name: "who am I by token", as: adminRead, method: "GET", path: "/api/session", status: 200, holds: []string{`"scope":"read"`, `"via":"token"`}},
	{name: "sign out", as: member, method: "DELETE", path: "/api/session", status: 204, events: []event.Kind{"session.ended"}},
	{name: "sign out a token", as: memberAdmin, method: "DELETE", path: "/api/session", status: 422},

	// The own account.
	{
		name: "change the password", as: member, method: "POST", path: "/api/account/password",
		body: `{"old":"` + password + `","new":"another horse, another battery"}`, status: 204, events: []event.Kind{"person.password_changed"},
	},
	{
		name: "change the password without knowing it", as: member, method: "POST", path: "/api/account/password",
		body: `{"old":"wrong","new":"another horse, another battery"}`, status: 422, lacks: []string{"another horse"}, events: []event.Kind{"signin.failed"},
	},
	{name: "own sessions", as: member, method: "GET", path: "/api/account/sessions", status: 200, holds: []string{`"current":true`, `"address":"192.0.2.1"`}},
	{name: "end a session that is not there", as: member, method: "DELETE", path: "/api/account/sessions/nope", status: 404},
	{name: "end the other sessions", as: member, method: "POST", path: "/api/account/sessions/end-others", status: 200, holds: []string{`{"ended":0}`}},
	{name: "own tokens", as: member, method: "GET", path: "/api/account/tokens", status: 200, holds: []string{`{"items":[`}, lacks: []string{"secret", "berth_"}},
	{
		name: "make a token", as: member, method: "POST", path: "/api/account/tokens", body: `{"name":"laptop","scope":"deploy"}`,
		status: 201, holds: []string{`"secret":"berth_`, `"scope":"deploy"`}, events: []event.Kind{"token.created"},
	},
	{name: "make a token of no scope", as: member, method: "POST", path: "/api/account/tokens", body: `{"name":"laptop","scope":"all"}`, status: 422, holds: []string{`"location":"body.scope"`}},
	{name: "remove a token that is not there", as: member, method: "DELETE", path: "/api/account/tokens/nope", status: 404},

	// People.
	{
		name: "make a group", as: admin, method: "POST", path: "/api/groups", body: `{"name":"ops","members":["bo","ana"]}`,
		status: 201, holds: []string{`"members":["ana","bo"]`}, events: []event.Kind{"group.created"},
	},
	{name: "make a group of nobody known", as: admin, method: "POST", path: "/api/groups", body: `{"name":"ops","members":["eve"]}`, status: 422, holds: []string{`nobody is named`}},
	{name: "make a group as a member", as: member, method: "POST", path: "/api/groups", body: `{"name":"ops"}`, status: 403},
	{name: "a group that is not there", as: admin, method: "PATCH", path: "/api/groups/nope", body: `{"version":1}`, status: 404},
	{name: "groups", as: member, method: "GET", path: "/api/groups", status: 200, holds: []string{`{"items":[]}`}},
	{
		name: "who could see", as: admin, method: "POST", path: "/api/access/preview",
		body:   `{"policy":{"rules":[{"paths":["/open"],"allow":{"public":true}},{"networks":["10.0.0.0/8"],"allow":{"people":["BO"]},"strength":"passkey","within":"5m"}]},"path":"/x?y","address":"10.1.2.3"}`,
		status: 200, holds: []string{
			`"nobody":{"allowed":false,"rule":2,"need":"sign_in","why":"nobody is signed in"}`,
			`"username":"ana","display_name":"","provider":"local","allowed":false,"rule":2,"need":"nothing","why":"the rule does not let them in"`,
			`"username":"bo","display_name":"","provider":"local","allowed":true,"rule":2,"need":"nothing","why":"the rule lets them in"`,
		},
	},
	{
		name: "who could see, as a member: oneself", as: member, method: "POST", path: "/api/access/preview", body: `{"policy":{"rules":[]}}`,
		status: 200, holds: []string{`"username":"bo"`, `"rule":0`, `"no rule fits the request"`}, lacks: []string{"ana"},
	},
	{
		name: "who could see, by a wrong policy", as: admin, method: "POST", path: "/api/access/preview", body: `{"policy":{"rules":[{"paths":["x"],"allow":{}}]}}`,
		status: 422, holds: []string{`"location":"body.policy.rules[0].paths[0]"`},
	},
	{name: "explain nothing", as: admin, method: "POST", path: "/api/access/explain", body: `{"url":"https://nope.example.com/x"}`, status: 404, holds: []string{"nothing is served at nope.example.com/x"}},
	{name: "explain Berth itself", as: admin, method: "POST", path: "/api/access/explain", body: `{"url":"http://localhost/x"}`, status: 422, holds: []string{"Berth itself"}},
	{name: "explain what is no address", as: admin, method: "POST", path: "/api/access/explain", body: `{"url":"javascript:x"}`, status: 422, holds: []string{`"location":"body.url"`}},
	{name: "explain another person, as a member", as: member, method: "POST", path: "/api/access/explain", body: `{"as":"ana","url":"https://nope.example.com/x"}`, status: 403},
	{name: "who could see nowhere", as: admin, method: "POST", path: "/api/access/preview", body: `{"policy":{"rules":[]},"path":"/a/%2e%2e/b"}`, status: 422, holds: []string{`"location":"body.path"`}},
	{name: "who could see from nowhere", as: admin, method: "POST", path: "/api/access/preview", body: `{"policy":{"rules":[]},"address":"home"}`, status: 422, holds: []string{`"location":"body.address"`}},
	{name: "people", as: admin, method: "GET", path: "/api/people", status: 200, holds: []string{`"username":"ana"`, `"username":"bo"`}, lacks: []string{"hash", "next"}},
	{name: "people by parts", as: admin, method: "GET", path: "/api/people?limit=1", status: 200, holds: []string{`"next":`}, lacks: []string{`"username":"bo"`}},
	{name: "people by too large parts", as: admin, method: "GET", path: "/api/people?limit=1000", status: 422, holds: []string{`"location":"query.limit"`}},
	{name: "a person's identities", as: admin, method: "GET", path: "/api/people/bo/identities", status: 200, holds: []string{`{"items":[]}`}},
	{name: "a person's identities as a member", as: member, method: "GET", path: "/api/people/ana/identities", status: 403},
	{name: "unlink what is not there", as: admin, method: "DELETE", path: "/api/people/bo/identities/nope", status: 404},
	{name: "sign a person out who is nowhere", as: admin, method: "POST", path: "/api/people/bo/sessions/end", status: 200, holds: []string{`{"ended":0,"tokens":0}`}},
	{name: "sign nobody out", as: admin, method: "POST", path: "/api/people/eve/sessions/end", status: 404},
	{name: "sign a person out as a member", as: member, method: "POST", path: "/api/people/ana/sessions/end", status: 403},
	{name: "people as a member", as: member, method: "GET", path: "/api/people", status: 403, holds: []string{`"code":"forbidden"`}},
	{
		name: "add a person", as: admin, method: "POST", path: "/api/people", body: `{"username":"cy","role":"member","password":"correct horse battery"}`,
		status: 201, holds: []string{`"username":"cy"`, `"version":1`}, lacks: []string{"correct"}, events: []event.Kind{"person.created"},
	},
	{name: "add a person twice", as: admin, method: "POST", path: "/api/people", body: `{"username":"bo","role":"member","password":"correct horse battery"}`, status: 409},
	{name: "add a person of no role", as: admin, method: "POST", path: "/api/people", body: `{"username":"cy","role":"owner","password":"x"}`, status: 422, holds: []string{`"location":"body.role"`}},
	{name: "a person", as: admin, method: "GET", path: "/api/people/bo", status: 200, holds: []string{`"role":"member"`}},
	{name: "a person who is not there", as: admin, method: "GET", path: "/api/people/eve", status: 404, holds: []string{"eve"}},
	{
		name: "change a person", as: admin, method: "PATCH", path: "/api/people/bo", body: `{"version":1,"display_name":"Bo","disabled":true}`,
		status: 200, holds: []string{`"display_name":"Bo"`, `"disabled":true`, `"version":2`},
	},
	{name: "change a person unseen", as: admin, method: "PATCH", path: "/api/people/bo", body: `{"version":7,"display_name":"Bo"}`, status: 409, holds: []string{`"code":"conflict"`}},
	{name: "demote the last administrator", as: admin, method: "PATCH", path: "/api/people/ana", body: `{"version":1,"role":"member"}`, status: 409},
	{name: "remove the last administrator", as: admin, method: "DELETE", path: "/api/people/ana", status: 409},
	{name: "remove a person", as: admin, method: "DELETE", path: "/api/people/bo", status: 204, events: []event.Kind{"person.removed"}},
	{name: "set a password", as: admin, method: "POST", path: "/api/people/bo/password", body: `{"password":"another horse, another battery"}`, status: 204, events: []event.Kind{"person.password_changed"}},
	{name: "a person's sessions", as: admin, method: "GET", path: "/api/people/bo/sessions", status: 200, holds: []string{`{"items":[`}, lacks: []string{`"current":true`, "token", "hash"}},
	{name: "end a person's session that is not there", as: admin, method: "DELETE", path: "/api/people/bo/sessions/nope", status: 404},

	// Projects and stages.
	{name: "projects", as: member, method: "GET", path: "/api/projects", status: 200, holds: []string{`"name":"shop"`, `"state":"empty"`, `"instances":[]`, `"changes":[`}},
	{
		name: "add a project", as: member, method: "POST", path: "/api/projects", body: `{"name":"blog","image":"ghcr.io/ana/blog"}`,
		status: 201, holds: []string{`"version":1`}, events: []event.Kind{"project.created"},
	},
	{name: "add a project twice", as: member, method: "POST", path: "/api/projects", body: `{"name":"shop","image":"shop"}`, status: 409},
	{name: "add a project of a bad image", as: member, method: "POST", path: "/api/projects", body: `{"name":"blog","image":"Not An Image"}`, status: 422, holds: []string{`"location":"body.image"`}},
	{name: "a project", as: member, method: "GET", path: "/api/projects/shop", status: 200, holds: []string{`"hostname":"shop.example.com"`}},
	{name: "a project that is not there", as: member, method: "GET", path: "/api/projects/nope", status: 404, holds: []string{"nope"}},
	{name: "change a project", as: member, method: "PATCH", path: "/api/projects/shop", body: `{"version":1,"description":"Sells"}`, status: 200, holds: []string{`"version":2`}, events: []event.Kind{"project.updated"}},
	{name: "change a project unseen", as: member, method: "PATCH", path: "/api/projects/shop", body: `{"version":3,"description":"Sells"}`, status: 409},
	{name: "remove a project", as: member, method: "DELETE", path: "/api/projects/shop", status: 200, holds: []string{`"kept_volumes":[]`}},
	{
		name: "add a stage", as: member, method: "POST", path: "/api/projects/shop/stages", body: `{"name":"dev","spec":` + goodSpec + `}`,
		status: 201, holds: []string{`"drain_timeout":"30s"`, `"project":"shop"`}, events: []event.Kind{"stage.created"},
	},
	{
		name: "add a stage of a bad probe", as: member, method: "POST", path: "/api/projects/shop/stages",
		body: `{"name":"dev","spec":{"hostname":"new.example.com","tags":{"kind":"none"},"probe":{"path":"health"}}}`, status: 422,
		holds: []string{`"location":"body.spec.probe.path"`},
	},
	{
		name: "add a stage of a bad duration", as: member, method: "POST", path: "/api/projects/shop/stages",
		body: `{"name":"dev","spec":{"hostname":"new.example.com","tags":{"kind":"none"},"drain_timeout":"soon"}}`, status: 422,
		holds: []string{`"location":"body.spec.drain_timeout"`, "1m30s"},
	},
	{
		name: "add a stage with an unknown field", as: member, method: "POST", path: "/api/projects/shop/stages",
		body: `{"name":"dev","spec":{"hostname":"new.example.com","tags":{"kind":"none"},"replica":2}}`, status: 422,
		holds: []string{`"location":"body.spec.replica"`},
	},
	{name: "add a stage on a taken hostname", as: member, method: "POST", path: "/api/projects/shop/stages", body: `{"name":"dev","spec":{"hostname":"shop.example.com","tags":{"kind":"none"}}}`, status: 422, holds: []string{`"location":"body.spec.hostname"`}},
	{name: "add a stage on Berth's own hostname", as: member, method: "POST", path: "/api/projects/shop/stages", body: `{"name":"dev","spec":{"hostname":"localhost","tags":{"kind":"none"}}}`, status: 422, holds: []string{`"location":"body.spec.hostname"`}},
	{name: "a stage", as: member, method: "GET", path: "/api/projects/shop/stages/prod", status: 200, holds: []string{`"url":"http`}},
	{name: "a stage that is not there", as: member, method: "GET", path: "/api/projects/shop/stages/nope", status: 404},
	{name: "change a stage", as: member, method: "PUT", path: "/api/projects/shop/stages/prod", body: `{"version":1,"spec":` + goodSpec + `}`, status: 200, holds: []string{`"version":2`}, events: []event.Kind{"stage.updated"}},
	{name: "change a stage unseen", as: member, method: "PUT", path: "/api/projects/shop/stages/prod", body: `{"version":9,"spec":` + goodSpec + `}`, status: 409},
	{name: "remove a stage", as: member, method: "DELETE", path: "/api/projects/shop/stages/prod", status: 200, holds: []string{`"kept_volumes":[]`}},
	{name: "a stage's minutes", as: member, method: "GET", path: "/api/projects/shop/stages/prod/metrics?minutes=5", status: 200, holds: []string{`"items":[`, `"step":1`}},
	{name: "a stage's minutes of each instance", as: member, method: "GET", path: "/api/projects/shop/stages/prod/metrics?instances=true", status: 200, holds: []string{`"items":[`}},
	{name: "a stage's minutes of two weeks", as: member, method: "GET", path: "/api/projects/shop/stages/prod/metrics?minutes=20160", status: 200, holds: []string{`"items":[`, `"step":60`}},
	{name: "a stage's minutes of more than two weeks", as: member, method: "GET", path: "/api/projects/shop/stages/prod/metrics?minutes=20161", status: 422},
	{name: "what a stage used in two weeks", as: member, method: "GET", path: "/api/projects/shop/stages/prod/usage?minutes=20160", status: 200, holds: []string{`"minutes":[]`, `"step":60`}},
	{name: "what a stage used in more than two weeks", as: member, method: "GET", path: "/api/projects/shop/stages/prod/usage?minutes=20161", status: 422},
	{name: "a stage's minutes of a year", as: member, method: "GET", path: "/api/projects/shop/stages/prod/metrics?minutes=525600", status: 422},
	{name: "what a stage uses", as: member, method: "GET", path: "/api/projects/shop/stages/prod/usage?minutes=5", status: 200, holds: []string{`"available":`, `"minutes":[]`, `"instances":[]`}},
	{name: "what a stage used in a year", as: member, method: "GET", path: "/api/projects/shop/stages/prod/usage?minutes=525600", status: 422},
	{name: "what a stage uses that is not there", as: member, method: "GET", path: "/api/projects/shop/stages/nope/usage", status: 404},
	{name: "what a stage uses, as nobody", method: "GET", path: "/api/projects/shop/stages/prod/usage", status: 401},
	{name: "a stage's tags", as: member, method: "GET", path: "/api/projects/shop/stages/prod/tags", status: 200, holds: []string{`{"items":[]}`}},
	{name: "check settings", as: member, method: "POST", path: "/api/validate/stage", body: `{"spec":` + goodSpec + `}`, status: 200, holds: []string{`"errors":[]`, `"replicas":1`}},
	{
		name: "check bad settings", as: member, method: "POST", path: "/api/validate/stage", body: `{"spec":{"hostname":"","tags":{"kind":"semver","pattern":"one"}}}`,
		status: 200, holds: []string{`"location":"body.spec.hostname"`, `"location":"body.spec.tags"`},
	},

	// Deployments.
	{
		name: "deploy", as: member, method: "POST", path: "/api/projects/shop/stages/prod/deployments", body: `{"reference":"1.4"}`,
		status: 202, holds: []string{`"state":"waiting"`, `"trigger":"person"`, `"actor":"bo"`}, events: []event.Kind{"deployment.state"},
	},
	{name: "deploy by token", as: adminDeploy, method: "POST", path: "/api/projects/shop/stages/prod/deployments", body: `{"reference":"1.4"}`, status: 202, holds: []string{`"trigger":"api"`}, events: []event.Kind{"deployment.state"}},
	{name: "deploy with a token that only reads", as: adminRead, method: "POST", path: "/api/projects/shop/stages/prod/deployments", body: `{"reference":"1.4"}`, status: 403},
	{name: "deploy nonsense", as: member, method: "POST", path: "/api/projects/shop/stages/prod/deployments", body: `{"reference":"no such tag!"}`, status: 422},
	{name: "deploy to nowhere", as: member, method: "POST", path: "/api/projects/shop/stages/nope/deployments", body: `{"reference":"1.4"}`, status: 404},
	{name: "redeploy nothing", as: member, method: "POST", path: "/api/projects/shop/stages/prod/redeploy", status: 409},
	{name: "roll back to nothing", as: member, method: "POST", path: "/api/projects/shop/stages/prod/rollback", body: `{"release":"nope"}`, status: 404},
	{name: "releases", as: member, method: "GET", path: "/api/projects/shop/stages/prod/releases", status: 200, holds: []string{`{"items":[]}`}},
	{name: "compare with nothing", as: member, method: "GET", path: "/api/projects/shop/stages/prod/releases/nope/compare", status: 404},
	{name: "deployments", as: member, method: "GET", path: "/api/deployments?project=shop&stage=prod&state=live", status: 200, holds: []string{`{"items":[]}`}},
	{name: "deployments of no state", as: member, method: "GET", path: "/api/deployments?state=gone", status: 422, holds: []string{`"location":"query.state"`}},
	{name: "deployments by a word unknown", as: member, method: "GET", path: "/api/deployments?projects=shop", status: 422, holds: []string{`"location":"query.projects"`}},
	{name: "a deployment that is not there", as: member, method: "GET", path: "/api/deployments/nope", status: 404},
	{name: "the log of one that is not there", as: member, method: "GET", path: "/api/deployments/nope/log", status: 404},
	{name: "approve one that is not there", as: member, method: "POST", path: "/api/deployments/nope/approve", status: 404},
	{name: "promote to a stage that takes tags", as: member, method: "POST", path: "/api/projects/shop/stages/prod/promote", body: `{"release":"nope"}`, status: 409, holds: []string{"promotes from no stage"}},
	{name: "promote nothing named", as: member, method: "POST", path: "/api/projects/shop/stages/prod/promote", body: `{}`, status: 422},
	{name: "promote with a read token", as: memberRead, method: "POST", path: "/api/projects/shop/stages/prod/promote", body: `{"release":"nope"}`, status: 403},
	{name: "approve with a read token", as: memberRead, method: "POST", path: "/api/deployments/nope/approve", status: 403},
	{name: "what a promotion would be", as: memberRead, method: "GET", path: "/api/projects/shop/stages/prod/promotion", status: 409, holds: []string{"promotes from no stage"}},
	{
		name: "tags and a source", as: member, method: "POST", path: "/api/validate/stage",
		body:   `{"project":"shop","stage":"dev","spec":{"hostname":"dev.example.com","tags":{"kind":"exact","pattern":"a"},"promote_from":"prod"}}`,
		status: 200, holds: []string{`"location":"body.spec.tags"`, "takes no tags"},
	},
	{name: "cancel one that is not there", as: member, method: "POST", path: "/api/deployments/nope/cancel", status: 404},
	{name: "an instance that is not there", as: member, method: "GET", path: "/api/instances/nope", status: 404},
	{name: "stats of one that is not there", as: member, method: "GET", path: "/api/instances/nope/stats", status: 404},
	{name: "logs of one that is not there", as: member, method: "GET", path: "/api/instances/nope/logs", status: 404, holds: []string{`"code":"not_found"`}},

	// What happened.
	{name: "activity", as: member, method: "GET", path: "/api/activity", status: 200, holds: []string{`"kind":"stage.created"`, `"kind":"secret.set"`}, lacks: []string{"person.", "signin.", "hunter2"}},
	{name: "activity for an administrator", as: admin, method: "GET", path: "/api/activity?limit=200", status: 200, holds: []string{`"kind":"person.created"`, `"kind":"signin.succeeded"`}},
	{name: "activity for an administrator's lesser token", as: adminRead, method: "GET", path: "/api/activity", status: 200, lacks: []string{"person.", "token."}},
	{name: "activity by parts", as: member, method: "GET", path: "/api/activity?limit=1&project=shop", status: 200, holds: []string{`"next":"`}},
	{name: "activity from a made-up cursor", as: member, method: "GET", path: "/api/activity?cursor=x", status: 422},
	{name: "deployments from a made-up cursor", as: member, method: "GET", path: "/api/deployments?cursor=zzz", status: 422, holds: []string{"cursor: it is not one that this list gave"}},
	{name: "releases from a made-up cursor", as: member, method: "GET", path: "/api/projects/shop/stages/prod/releases?cursor=zzz", status: 422},
	{name: "runs from a made-up cursor", as: member, method: "GET", path: "/api/projects/shop/stages/prod/job-runs?cursor=zzz", status: 422},
	{name: "notifications from a made-up cursor", as: admin, method: "GET", path: "/api/notifications?cursor=zzz", status: 422},

	// Secrets.
	{name: "secrets", as: member, method: "GET", path: "/api/secrets?context=project/shop", status: 200, holds: []string{`"name":"API_KEY"`}, lacks: []string{"hunter2"}},
	{name: "secrets of another context", as: member, method: "GET", path: "/api/secrets?context=project/blog", status: 200, holds: []string{`{"items":[]}`}},
	{name: "set a secret", as: member, method: "PUT", path: "/api/secrets/project%2Fshop/API_KEY", body: `{"value":"s3cret"}`, status: 200, holds: []string{`"version":2`, `"context":"project/shop"`}, lacks: []string{"s3cret"}, events: []event.Kind{"secret.set"}},
	{name: "set a secret that was seen", as: member, method: "PUT", path: "/api/secrets/project%2Fshop/API_KEY", body: `{"value":"s3cret","version":1}`, status: 200, holds: []string{`"version":2`}, events: []event.Kind{"secret.set"}},
	{name: "set a secret unseen", as: member, method: "PUT", path: "/api/secrets/project%2Fshop/API_KEY", body: `{"value":"s3cret","version":0}`, status: 409, holds: []string{`"code":"conflict"`}, lacks: []string{"s3cret"}},
	{name: "set a secret that is not there yet", as: member, method: "PUT", path: "/api/secrets/shop/KEY", body: `{"value":"s3cret","version":0}`, status: 200, holds: []string{`"version":1`}, events: []event.Kind{"secret.set"}},
	{name: "set a secret to nothing", as: member, method: "PUT", path: "/api/secrets/shop/KEY", body: `{"value":""}`, status: 422, holds: []string{`"location":"body.value"`}},
	{name: "show a secret", as: admin, method: "GET", path: "/api/secrets/project%2Fshop/API_KEY/value", status: 200, holds: []string{`"value":"hunter2-of-the-shop"`, `"version":1`}, events: []event.Kind{"secret.shown"}},
	{name: "show a secret on the machine", as: onMachine, method: "GET", path: "/api/secrets/project%2Fshop/API_KEY/value", status: 200, holds: []string{"hunter2"}, events: []event.Kind{"secret.shown"}},
	{name: "show a secret to an API token", as: adminAdmin, method: "GET", path: "/api/secrets/project%2Fshop/API_KEY/value", status: 403, lacks: []string{"hunter2"}},
	{name: "show a secret to a member", as: member, method: "GET", path: "/api/secrets/project%2Fshop/API_KEY/value", status: 403, lacks: []string{"hunter2"}},
	{name: "show a secret of Berth's own", as: onMachine, method: "GET", path: "/api/secrets/berth%2Fgateway/assertion-keys/value", status: 403},
	{name: "show a secret that is not there", as: admin, method: "GET", path: "/api/secrets/shop/NOPE/value", status: 404},
	{name: "remove a secret", as: member, method: "DELETE", path: "/api/secrets/project%2Fshop/API_KEY", status: 204, events: []event.Kind{"secret.removed"}},
	{name: "remove a secret that is not there", as: member, method: "DELETE", path: "/api/secrets/shop/NOPE", status: 404},

	{name: "set a registry account's secret", as: admin, method: "PUT", path: "/api/secrets/registry/ghcr.io", body: `{"value":"s3cret"}`, status: 403},
	{name: "remove a registry account's secret", as: admin, method: "DELETE", path: "/api/secrets/registry/ghcr.io", status: 403},
	{
		name: "give a stage a registry account's secret", as: member, method: "POST", path: "/api/projects/shop/stages", status: 422,
		body:  `{"name":"dev","spec":{"hostname":"new.example.com","tags":{"kind":"none"},"secrets":{"PASSWORD":{"context":"registry","name":"ghcr.io"}}}}`,
		holds: []string{`"location":"body.spec.secrets.PASSWORD.context"`},
	},

	// Images and registries.
	{name: "images", as: member, method: "GET", path: "/api/images", status: 200, holds: []string{`{"items":[]}`}},
	{name: "tags of an image that is not there", as: member, method: "GET", path: "/api/images/tags?repository=nope", status: 404},
	{name: "tags of no image", as: member, method: "GET", path: "/api/images/tags", status: 422, holds: []string{`"location":"query.repository"`}},
	{name: "remove an image that is not there", as: member, method: "DELETE", path: "/api/images?repository=nope", status: 404},
	{name: "remove a tag that is not there", as: member, method: "DELETE", path: "/api/images/tags?repository=nope&tag=1", status: 404},
	{name: "registries", as: admin, method: "GET", path: "/api/registries", status: 200, holds: []string{`{"items":[]}`}},
	{name: "set a registry's account", as: admin, method: "PUT", path: "/api/registries/ghcr.io", body: `{"username":"ana","password":"s3cret"}`, status: 204, events: []event.Kind{"registry_account.set"}},
	{name: "set a registry's account unseen", as: admin, method: "PUT", path: "/api/registries/ghcr.io", body: `{"username":"ana","password":"s3cret","version":1}`, status: 409, holds: []string{`"code":"conflict"`}, lacks: []string{"s3cret"}},
	{name: "set a registry's account of no version", as: admin, method: "PUT", path: "/api/registries/ghcr.io", body: `{"username":"ana","password":"s3cret","version":-1}`, status: 422, holds: []string{`"location":"body.version"`}, lacks: []string{"s3cret"}},
	{name: "remove a registry's account that is not there", as: admin, method: "DELETE", path: "/api/registries/ghcr.io", status: 404},
	{name: "registries as a member", as: member, method: "GET", path: "/api/registries", status: 403},

	// The system.
	{name: "system", as: member, method: "GET", path: "/api/system", status: 200, holds: []string{`"version":"1.2.3"`, `"registry_host":"localhost:8080"`, `"name":"stand-in"`, `"lacks":[]`}},
	{name: "settings", as: admin, method: "GET", path: "/api/system/settings", status: 200, holds: []string{`"BERTH_LISTEN"`}},
	{name: "settings as a member", as: member, method: "GET", path: "/api/system/settings", status: 403},
	{name: "the document", as: member, method: "GET", path: "/api/openapi.json", status: 200, holds: []string{`"openapi": "3.1.0"`}},
	{name: "health", method: "GET", path: "/health", status: 200, holds: []string{`{"service":"berth","status":"ok","version":"1.2.3"}`}},
	{name: "metrics", as: admin, method: "GET", path: "/metrics", status: 200},
	{name: "metrics as a member", as: member, method: "GET", path: "/metrics", status: 403},
	{name: "metrics as nobody", method: "GET", path: "/metrics", status: 401},

	// What is not in the table.
	{name: "an unknown address", as: member, method: "GET", path: "/api/nope", status: 404, holds: []string{`"code":"not_found"`}},
	{name: "an unknown address as nobody", method: "GET", path: "/api/nope", status: 401},
	{name: "an unknown method", as: member, method: "PUT", path: "/api/projects", status: 405, holds: []string{"GET, POST"}},
	{name: "an unknown method as nobody", method: "PUT", path: "/api/projects", status: 401},
	{name: "the dashboard", method: "GET", path: "/projects/shop", status: 200, holds: []string{"dashboard"}},
	{name: "the registry", method: "GET", path: "/v2/", status: 401},
}

func TestAPI_AnswersAndRecordsWhatHappened(t *testing.T) {
	unchanged := newServer(t)
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			if c.method == http.MethodGet || c.status >= 400 {
				c.check(t, unchanged) // such a call changes nothing for the next
				return
			}
			t.Parallel()
			c.check(t, newServer(t))
		})
	}
}

func (c call) check(t *testing.T, s *server) {
	t.Helper()
	as := s.as(c.as)
	before, err := s.events.Last(t.Context())
	require.NoError(t, err)
	who := c.as
	if who != onMachine {
		who = nobody // as was asked before, so that its own events do not count
	}

	got := s.do(who, c.method, c.path, c.body, as)

	require.Equal(t, c.status, got.StatusCode, got.body)
	for _, part := range c.holds {
		require.Contains(t, got.body, part)
	}
	for _, part := range c.lacks {
		require.NotContains(t, got.body, part)
	}
	if strings.HasPrefix(c.path, "/api/") {
		requireWhole(t, got)
	}
	if c.events != nil || c.method == http.MethodGet {
		happened, err := s.events.Since(t.Context(), before, event.Filter{}, 100)
		require.NoError(t, err)
		var kinds []event.Kind
		for _, e := range happened {
			kinds = append(kinds, e.Kind)
		}
		require.Equal(t, c.events, kinds)
	}
}

// requireWhole checks what holds for every answer of the API.
func requireWhole(t *testing.T, got reply) {
	t.Helper()
	require.Equal(t, "no-store", got.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
	require.Contains(t, got.Header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotContains(t, got.body, "null", "a list or a field is null")
	if got.StatusCode < 400 {
		return
	}
	require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
	var p api.Problem
	got.decode(t, &p)
	require.Equal(t, got.StatusCode, p.Status)
	require.Equal(t, http.StatusText(got.StatusCode), p.Title)
	require.Equal(t, "about:blank", p.Type)
	require.NotEmpty(t, p.Detail)
	require.NotEmpty(t, p.Code)
}

func TestSetup_MakesTheFirstAdministratorOnce(t *testing.T) {
	s := newEmptyServer(t)
	require.Contains(t, s.do(nobody, "GET", "/api/setup", "").body, `{"needed":true}`)
	link, err := s.identity.SetupLink(t.Context())
	require.NoError(t, err)
	with := func(token string) reply {
		return s.do(nobody, "POST", "/api/setup", `{"token":"`+token+`","username":"ana","password":"`+password+`"}`)
	}
	require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, with("guess").StatusCode)
	first := with(link.Reveal())
	require.Equal(t, http.StatusOK, first.StatusCode, first.body)
	require.Contains(t, first.body, `"role":"administrator"`)
	require.Len(t, first.Cookies(), 1)
	require.Equal(t, http.StatusConflict, with(link.Reveal()).StatusCode)
}

func TestAPI_TellsHowLongToWaitAfterTooManySignIns(t *testing.T) {
	s := newServer(t)
	var got reply
	for range 50 {
		got = s.do(nobody, "POST", "/api/session", `{"username":"ana","password":"wrong"}`)
		if got.StatusCode != http.StatusUnauthorized {
			break
		}
	}
	require.Equal(t, http.StatusTooManyRequests, got.StatusCode)
	require.Regexp(t, `^[1-9][0-9]*$`, got.Header.Get("Retry-After"))
}

func TestAPI_RefusesABodyPastItsBound(t *testing.T) {
	s := newServer(t)
	got := s.do(admin, "POST", "/api/projects", `{"name":"`+strings.Repeat("x", 2<<20)+`","image":"x"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, got.StatusCode)
	require.Contains(t, got.body, `"code":"too_large"`)
}

func TestAPI_TellsWhenTheEngineIsAway(t *testing.T) {
	s := newServer(t)
	s.engine.down = true
	got := s.do(member, "GET", "/api/system", "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Contains(t, got.body, `"engine_error":"the container engine does not answer"`)
	require.NotContains(t, got.body, `"engine":`)
}

func TestDeployments_AreFoundAtTheirLocation(t *testing.T) {
	s := newServer(t)
	started := s.do(member, "POST", "/api/projects/shop/stages/prod/deployments", `{"reference":"1.4"}`)
	require.Equal(t, http.StatusAccepted, started.StatusCode, started.body)
	at := started.Header.Get("Location")
	require.Contains(t, s.do(member, "GET", at, "").body, `"reference":"`)
	require.Contains(t, s.do(member, "GET", at+"/log?limit=1", "").body, `"kind":"deployment.state"`)
	require.Equal(t, http.StatusNoContent, s.do(member, "POST", at+"/cancel", "").StatusCode)
	require.Contains(t, s.do(member, "GET", at, "").body, `"state":"canceled"`)
}

func TestHandler_GivesEveryoneTheirOwnCookie(t *testing.T) {
	signIn := func(s *server) *http.Cookie {
		got := s.do(nobody, "POST", "/api/session", `{"username":"ana","password":"`+password+`"}`)
		require.Equal(t, http.StatusOK, got.StatusCode, got.body)
		require.Len(t, got.Cookies(), 1)
		return got.Cookies()[0]
	}
	loopback := signIn(newServer(t))
	require.Equal(t, "berth", loopback.Name)
	require.False(t, loopback.Secure)

	public := newServer(t, func(c *api.Config) { c.BaseURL = &url.URL{Scheme: "https", Host: "berth.example.com"} })
	secure := signIn(public)
	require.Equal(t, "__Host-berth", secure.Name)
	require.True(t, secure.Secure)
	for _, c := range []*http.Cookie{loopback, secure} {
		require.True(t, c.HttpOnly)
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		require.Equal(t, "/", c.Path)
		require.Empty(t, c.Domain)
	}
	require.Equal(t, http.StatusUnauthorized, public.do(nobody, "GET", "/api/session", "", func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: "berth", Value: secure.Value})
	}).StatusCode, "the cookie without its prefix is for loopback alone")

	out := public.do(nobody, "DELETE", "/api/session", "", func(r *http.Request) { r.AddCookie(secure) })
	require.Equal(t, http.StatusNoContent, out.StatusCode)
	require.Negative(t, out.Cookies()[0].MaxAge)
	require.Equal(t, http.StatusUnauthorized, public.do(nobody, "GET", "/api/session", "", func(r *http.Request) { r.AddCookie(secure) }).StatusCode)
}
