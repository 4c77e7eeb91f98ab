package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"berth/internal/identity"
)

// rule says who may use a route. The zero rule is no rule, and a route
// without one does not start.
type rule struct {
	public bool
	action identity.Action
	reach  reach
}

// public lets everybody in, also those who are not signed in.
var public = rule{public: true}

func may(a identity.Action) rule { return rule{action: a} }

// at says what the route is about: see reach.
func (r rule) at(what reach) rule {
	r.reach = what
	return r
}

func (r rule) String() string {
	if r.public {
		return "public"
	}
	return r.action.String()
}

// route is one line of the table.
type route struct {
	operation huma.Operation
	rule      rule
	register  func(huma.API, huma.Operation)
}

// routes is the whole API: the access rule stands beside each line.
func (a *API) routes() []route {
	own, read, edit := may(identity.ActionOwnAccount), may(identity.ActionRead), may(identity.ActionEdit)
	deploy, administer := may(identity.ActionDeploy), may(identity.ActionAdminister)
	oneself, factors := may(identity.ActionOneself), may(identity.ActionOwnFactors)
	command := may(identity.ActionExec)
	return []route{
		on(a, "GET /api/setup", public, "get-setup", "Say whether the first administrator is still to be made", a.getSetup),
		on(a, "POST /api/setup", public, "use-setup-link", "Make the first administrator and sign in", a.useSetupLink),
		on(a, "POST /api/session", public, "sign-in", "Sign in, or begin to: what else is needed is told", a.signIn),
		on(a, "GET /api/session/second-factor", public, "get-sign-in", "Say what a sign-in under way waits for", a.getAttempt),
		on(a, "POST /api/session/second-factor", public, "give-second-factor", "Finish signing in by a second factor", a.secondFactor),
		on(a, "DELETE /api/session/second-factor", public, "give-up-sign-in", "Give up a sign-in under way", a.endAttempt),
		on(a, "POST /api/session/second-factor/question", public, "ask-second-passkey", "Ask a passkey to finish signing in", a.askSecondPasskey),
		on(a, "POST /api/session/passkey/question", public, "ask-passkey", "Ask any passkey, to sign in by it alone", a.askPasskey),
		on(a, "POST /api/session/passkey", public, "sign-in-by-passkey", "Sign in by a passkey alone", a.signInByPasskey),
		// The first factor of those who must have one, in the midst of signing in.
		on(a, "POST /api/session/set-up/passkey/question", public, "ask-first-passkey", "Ask for the first passkey", a.setUpPasskey),
		on(a, "POST /api/session/set-up/passkey", public, "finish-with-passkey", "Finish signing in with a first passkey", a.finishWithPasskey),
		on(a, "POST /api/session/set-up/totp", public, "ask-first-totp", "Make the secret of a first app that makes codes", a.setUpTOTP),
		on(a, "POST /api/session/set-up/totp/confirm", public, "finish-with-totp", "Finish signing in with a first code", a.finishWithTOTP),
		on(a, "GET /api/session/step-up", factors, "get-step-up", "Say how to prove again who one is", a.getStepUp),
		on(a, "POST /api/session/step-up", factors, "step-up", "Prove again who one is; the session has a new token then", a.stepUp),
		on(a, "POST /api/session/step-up/question", factors, "ask-step-up", "Ask a passkey to prove again who one is", a.askStepUp),
		on(a, "GET /api/session", oneself, "get-session", "Say who is signed in", a.getSession),
		on(a, "DELETE /api/session", own, "sign-out", "Sign out", a.signOut),

		on(a, "POST /api/account/password", own, "change-password", "Change the own password", a.changePassword),
		on(a, "PUT /api/account/password", own, "add-password", "Give oneself a password, who has none; takes a fresh proof", a.addPassword),
		on(a, "POST /api/account/password/remove", own, "remove-password", "Remove the own password, where another way in remains; takes a fresh proof", a.removePassword),
		on(a, "GET /api/account/sessions", own, "list-sessions", "List the own sessions", a.listSessions),
		on(a, "DELETE /api/account/sessions/{id}", own, "end-session", "End one of the own sessions", a.endSession),
		on(a, "POST /api/account/sessions/end-others", own, "end-other-sessions", "End all own sessions but this one", a.endOtherSessions),
		on(a, "GET /api/account/factors", factors, "get-factors", "List the own passkeys and other factors", a.getFactors),
		on(a, "DELETE /api/account/factors/reset", factors, "dismiss-factor-reset", "Say that one has read that the own factors were reset", a.dismissFactorReset),
		on(a, "POST /api/account/factors/decline", factors, "decline-passkey", "Have no passkey offered any more", a.declinePasskey),
		on(a, "POST /api/account/passkeys/question", factors, "ask-new-passkey", "Ask for a new passkey", a.askNewPasskey),
		on(a, "POST /api/account/passkeys", factors, "add-passkey", "Add a passkey; the session has a new token then", a.addPasskey),
		on(a, "PATCH /api/account/passkeys/{id}", factors, "rename-passkey", "Give a passkey another name", a.renamePasskey),
		on(a, "DELETE /api/account/passkeys/{id}", factors, "remove-passkey", "Remove a passkey", a.removePasskey),
		on(a, "POST /api/account/totp", factors, "ask-totp", "Make the secret of an app that makes codes", a.askTOTP),
		on(a, "POST /api/account/totp/confirm", factors, "add-totp", "Let an app's codes count, by the first; the session has a new token then", a.addTOTP),
		on(a, "DELETE /api/account/totp", factors, "remove-totp", "Remove the app that makes codes", a.removeTOTP),
		on(a, "POST /api/account/recovery-codes", factors, "new-recovery-codes", "Make recovery codes in the place of those before; shown this once", a.newRecoveryCodes),
		on(a, "GET /api/apps", oneself, "list-apps", "List the apps that one may enter", a.listApps),
		on(a, "GET /api/account/tokens", own, "list-tokens", "List the own API tokens", a.listTokens),
		on(a, "POST /api/account/tokens", own, "create-token", "Make an API token; its text is shown this once", a.createToken),
		on(a, "DELETE /api/account/tokens/{id}", may(identity.ActionEndToken), "remove-token", "Remove an API token", a.removeToken),

		// A command line without a password: RFC 8628. Whoever is shown a code takes
		// it to the dashboard.
		on(a, "POST /api/device/code", public, "ask-by-device", "Give a command line a code to be signed in by", a.askByDevice),
		on(a, "POST /api/device/token", public, "redeem-device", "Give a command line its API token, once somebody approved it", a.redeemDevice),
		on(a, "POST /api/device", own, "get-device", "Say which command line waits with a code", a.getDevice),
		on(a, "POST /api/device/approve", own, "approve-device", "Let a command line have an API token of one's own", a.approveDevice),
		on(a, "POST /api/device/deny", own, "deny-device", "Have a command line go without", a.denyDevice),

		on(a, "GET /api/account/identities", own, "list-identities", "List how providers know oneself", a.listIdentities),
		on(a, "POST /api/account/identities", own, "link-identity", "Begin to link another identity: go to the provider", a.linkIdentity),
		on(a, "DELETE /api/account/identities/{id}", own, "unlink-identity", "Unlink an identity; the last way in stays", a.unlinkIdentity),
		on(a, "DELETE /api/account/identities/{id}/tokens", own, "forget-tokens", "Forget the provider's tokens that Berth holds of an identity", a.forgetTokens),

		on(a, "GET /api/sign-in", public, "get-sign-in-page", "Say which providers the sign-in page shows", a.getSignInPage),
		on(a, "GET /api/sign-in-mode", administer, "get-sign-in-mode", "Say how people sign in: whose passwords count, and whether they see the sign-in page", a.getSignInMode),
		on(a, "PUT /api/sign-in-mode", administer, "set-sign-in-mode", "Have people sign in in another way; sessions stay", a.setSignInMode),
		on(a, "GET /api/sign-in-mode/left-out", administer, "get-left-out-by-mode", "Say who would have no way in left by other passwords", a.getModeLeftOut),
		on(a, "GET /api/providers", administer, "list-providers", "List the providers where people sign in", a.listProviders),
		on(a, "POST /api/providers", administer, "create-provider", "Add a provider", a.createProvider),
		on(a, "GET /api/providers/{provider}", administer, "get-provider", "Show a provider", a.getProvider),
		on(a, "PATCH /api/providers/{provider}", administer, "update-provider", "Change a provider", a.updateProvider),
		on(a, "DELETE /api/providers/{provider}", administer, "remove-provider", "Remove a provider, and end the sessions that came by it", a.removeProvider),
		on(a, "GET /api/providers/{provider}/left-out", administer, "get-left-out", "Say who would have no way in left without a provider", a.getLeftOut),
		on(a, "POST /api/providers/{provider}/check", administer, "check-provider", "Ask a provider for its metadata and say what is in it", a.checkProvider),
		on(a, "POST /api/providers/{provider}/test", administer, "test-provider", "Begin to sign in at a provider without anything coming of it: go there", a.testProvider),
		on(a, "GET /api/provider-presets", administer, "list-provider-presets", "List what is known of kinds of providers, and who can always sign in without one", a.listProviderPresets),
		on(a, "GET /api/provider-tests/{id}", administer, "get-provider-test", "Show what a test of a provider came to", a.getProviderTest),

		on(a, "GET /api/people", administer, "list-people", "List people", a.listPeople),
		on(a, "POST /api/people", administer, "create-person", "Add a person", a.createPerson),
		on(a, "GET /api/people/{username}", administer, "get-person", "Show a person", a.getPerson),
		on(a, "PATCH /api/people/{username}", administer, "update-person", "Change a person", a.updatePerson),
		on(a, "DELETE /api/people/{username}", administer, "remove-person", "Remove a person", a.removePerson),
		on(a, "POST /api/people/{username}/password", administer, "set-password", "Set a person's password", a.setPassword),
		on(a, "GET /api/people/{username}/factors", administer, "get-person-factors", "List a person's passkeys and other factors", a.getPersonFactors),
		on(a, "DELETE /api/people/{username}/factors", administer, "reset-person-factors", "Remove all of a person's factors and end their sessions", a.resetPersonFactors),
		on(a, "GET /api/people/{username}/sessions", administer, "list-person-sessions", "List a person's sessions", a.listPersonSessions),
		on(a, "DELETE /api/people/{username}/sessions/{id}", administer, "end-person-session", "End a person's session", a.endPersonSession),
		on(a, "POST /api/people/{username}/sessions/end", administer, "end-person-sessions", "Sign a person out everywhere; API tokens stay", a.endPersonSessions),
		on(a, "GET /api/people/{username}/tokens", administer, "list-person-tokens", "List a person's API tokens", a.listPersonTokens),
		on(a, "DELETE /api/people/{username}/tokens/{id}", administer, "remove-person-token", "Remove a person's API token, at once", a.removePersonToken),

		on(a, "GET /api/people/{username}/identities", administer, "list-person-identities", "List how providers know a person", a.listPersonIdentities),
		on(a, "DELETE /api/people/{username}/identities/{id}", administer, "unlink-person-identity", "Unlink a person's identity; the last way in stays", a.unlinkPersonIdentity),

		on(a, "GET /api/second-factor", administer, "get-second-factor-rule", "Say who must have a second factor", a.getSecondFactorRule),
		on(a, "PUT /api/second-factor", administer, "set-second-factor-rule", "Say who must have a second factor; sessions that are too little end at once", a.setSecondFactorRule),
		on(a, "GET /api/administrators", administer, "get-administrators", "Say who administers, and why", a.getAdministrators),
		on(a, "PUT /api/administrators", administer, "set-administrators", "Say who administers, by the secret berth/ADMINS", a.setAdministrators),

		// Whoever may say who enters a stage may see which groups there are.
		on(a, "GET /api/groups", read, "list-groups", "List the groups that Berth keeps", a.listGroups),
		on(a, "POST /api/groups", administer, "create-group", "Make a group", a.createGroup),
		on(a, "GET /api/groups/{group}", read, "get-group", "Show a group", a.getGroup),
		on(a, "PATCH /api/groups/{group}", administer, "update-group", "Change a group, or who is in it", a.updateGroup),
		on(a, "DELETE /api/groups/{group}", administer, "remove-group", "Remove a group", a.removeGroup),

		// Of others than oneself for administrators: see access.go.
		on(a, "POST /api/access/preview", edit, "preview-access", "Say who could see what a policy guards, without saving it", a.previewAccess),
		on(a, "POST /api/access/explain", read, "explain-access", "Say which rule decides on a request and why, and how it would look to the app", a.explainAccess),
		on(a, "GET /api/access/forward-auth/{proxy}", read, "get-proxy-example", "Show how another proxy serves a host and asks who may enter", a.proxyExample),

		// What Berth does not run. It reaches whatever address a route names.
		on(a, "GET /api/routes", read, "list-routes", "List the routes that no stage makes", a.listRoutes),
		on(a, "POST /api/routes", administer, "create-route", "Add a route to a fixed address, or to none where another proxy forwards", a.createRoute),
		on(a, "GET /api/routes/{route}", read, "get-route", "Show a route", a.getRoute),
		on(a, "PUT /api/routes/{route}", administer, "update-route", "Change a route, at once", a.updateRoute),
		on(a, "DELETE /api/routes/{route}", administer, "remove-route", "Remove a route, and cut what goes through it", a.removeRoute),
		on(a, "GET /api/routes/{route}/metrics", read, "get-route-metrics", "Show what passed through a route, over time", a.routeMetrics),

		on(a, "GET /api/projects", read.at(itsOwn), "list-projects", "List projects with the state of their stages", a.listProjects),
		on(a, "POST /api/projects", edit, "create-project", "Add a project", a.createProject),
		on(a, "GET /api/projects/{project}", read.at(itsOwn), "get-project", "Show a project with the state of its stages", a.getProject),
		on(a, "PATCH /api/projects/{project}", edit, "update-project", "Change a project", a.updateProject),
		on(a, "DELETE /api/projects/{project}", edit, "remove-project", "Remove a project; its volumes stay", a.removeProject),

		on(a, "POST /api/projects/{project}/stages", edit, "create-stage", "Add a stage", a.createStage),
		on(a, "GET /api/projects/{project}/stages/{stage}", read.at(oneStage), "get-stage", "Show a stage", a.getStage),
		on(a, "PUT /api/projects/{project}/stages/{stage}", edit, "update-stage", "Change a stage; what runs stays until the next deployment", a.updateStage),
		on(a, "DELETE /api/projects/{project}/stages/{stage}", edit, "remove-stage", "Remove a stage; its volumes stay", a.removeStage),
		on(a, "POST /api/projects/{project}/stages/{stage}/pause", edit, "pause-stage", "Keep a stage as it is: nothing is deployed to it", a.pauseStage),
		on(a, "POST /api/projects/{project}/stages/{stage}/resume", edit, "resume-stage", "Let deployments to a stage again", a.resumeStage),
		on(a, "POST /api/projects/{project}/stages/{stage}/maintenance", edit, "set-maintenance", "Have a stage answer with a maintenance page, or with its app again", a.setMaintenance),
		on(a, "GET /api/projects/{project}/stages/{stage}/metrics", read.at(oneStage), "get-stage-metrics", "Show what passed through a stage's route, over time", a.stageMetrics),
		on(a, "GET /api/projects/{project}/stages/{stage}/usage", read.at(oneStage), "get-stage-usage", "Show what a stage's instances used, over time", a.stageUsage),
		on(a, "GET /api/projects/{project}/stages/{stage}/instances", read.at(oneStage), "list-stage-instances", "List a stage's instances, also those that are gone, newest first", a.stageInstances),
		stream(a, "GET /api/projects/{project}/stages/{stage}/logs", read.at(oneStage), "stream-stage-logs", "Stream what a stage's instances write, in the order of their times", logMessages, a.streamStageLogs),
		asText(on(a, "GET /api/projects/{project}/stages/{stage}/logs/download", read.at(oneStage), "download-stage-logs", "Download what a stage's instances wrote", a.downloadStageLogs)),
		on(a, "GET /api/projects/{project}/stages/{stage}/tags", read.at(oneStage), "list-stage-tags", "List the image's tags and which of them the stage's rule takes", a.stageTags),
		on(a, "POST /api/validate/stage", read, "validate-stage", "Check a stage's settings without saving them", a.validateStage),

		on(a, "POST /api/projects/{project}/stages/{stage}/deployments", deploy.at(oneStage), "start-deployment", "Deploy an image", a.startDeployment),
		on(a, "POST /api/projects/{project}/stages/{stage}/redeploy", deploy.at(oneStage), "redeploy", "Deploy the live image again with the saved settings", a.redeploy),
		on(a, "POST /api/projects/{project}/stages/{stage}/rollback", deploy.at(oneStage), "roll-back", "Bring an earlier release back", a.rollBack),
		on(a, "GET /api/projects/{project}/stages/{stage}/promotion", read.at(oneStage), "get-promotion", "Say what a promotion to a stage would take and change", a.getPromotion),
		on(a, "POST /api/projects/{project}/stages/{stage}/promote", deploy.at(oneStage), "promote", "Take the release that is live in the stage that this one promotes from", a.promote),
		on(a, "GET /api/projects/{project}/stages/{stage}/releases", read.at(oneStage), "list-releases", "List a stage's releases, newest first", a.listReleases),
		on(a, "GET /api/projects/{project}/stages/{stage}/releases/{release}/compare", read.at(oneStage), "compare-release", "Say what rolling back to a release would change", a.compareRelease),
		on(a, "GET /api/projects/{project}/stages/{stage}/jobs", read.at(oneStage), "list-jobs", "List a stage's jobs, when they are due and how they went", a.listJobs),
		on(a, "POST /api/projects/{project}/stages/{stage}/jobs/{job}/run", deploy.at(oneStage), "run-job", "Run a job now", a.runJob),
		on(a, "GET /api/projects/{project}/stages/{stage}/job-runs", read.at(oneStage), "list-job-runs", "List the runs of a stage's jobs, newest first", a.listJobRuns),
		on(a, "GET /api/projects/{project}/stages/{stage}/job-runs/{run}", read.at(oneStage), "get-job-run", "Show a run of a job", a.getJobRun),
		on(a, "GET /api/projects/{project}/stages/{stage}/job-runs/{run}/log", read.at(oneStage), "get-job-run-log", "Read what a run of a job wrote, oldest first", a.jobRunLog),
		on(a, "POST /api/projects/{project}/stages/{stage}/job-runs/{run}/cancel", deploy.at(oneStage), "cancel-job-run", "End a run of a job", a.cancelJobRun),
		on(a, "GET /api/schedule", read, "preview-schedule", "Say when a schedule would have a job run", a.previewSchedule),
		on(a, "GET /api/deployments", read.at(itsOwn), "list-deployments", "List deployments, newest first", a.listDeployments),
		on(a, "GET /api/deployments/{id}", read.at(oneDeployment), "get-deployment", "Show a deployment", a.getDeployment),
		on(a, "POST /api/deployments/{id}/approve", deploy, "approve-deployment", "Have a deployment begin that waits for somebody's approval", a.approveDeployment),
		on(a, "POST /api/deployments/{id}/cancel", deploy.at(oneDeployment), "cancel-deployment", "Stop a deployment that is not yet live", a.cancelDeployment),
		on(a, "POST /api/deployments/{id}/continue", deploy, "continue-deployment", "End the watch of a release early: give a canary to everybody, let a guard go", a.continueDeployment),
		on(a, "GET /api/deployments/{id}/log", read.at(oneDeployment), "get-deployment-log", "Read a deployment's events and log lines, oldest first", a.deploymentLog),

		on(a, "GET /api/instances/{id}", read.at(oneInstance), "get-instance", "Show an instance", a.getInstance),
		on(a, "GET /api/instances/{id}/stats", read.at(oneInstance), "get-instance-stats", "Show what an instance uses", a.instanceStats),
		stream(a, "GET /api/instances/{id}/logs", read.at(oneInstance), "stream-instance-logs", "Stream what an instance writes", logMessages, a.streamInstanceLogs),
		asText(on(a, "GET /api/instances/{id}/logs/download", read.at(oneInstance), "download-instance-logs", "Download what an instance wrote", a.downloadInstanceLogs)),
		exec(a, "GET /api/instances/{id}/exec", command.at(oneInstance), "exec-in-instance", "Run a command in an instance, over a WebSocket"),

		stream(a, "GET /api/events", read.at(itsOwn), "stream-events", "Stream what happens", eventMessages, a.streamEvents),
		on(a, "GET /api/activity", read.at(itsOwn), "list-activity", "List what happened, newest first, without log lines", a.listActivity),

		on(a, "GET /api/audit", administer, "list-audit", "List audit events, newest first", a.listAudit),
		exported(a, "GET /api/audit/export", administer, "export-audit", "Export audit events as JSON lines, oldest first"),
		on(a, "GET /api/audit/verify", administer, "verify-audit", "Say whether the event log is as it was written", a.verifyAudit),

		on(a, "GET /api/secrets", read, "list-secrets", "List secrets by name; values are never shown", a.listSecrets),
		on(a, "GET /api/secrets/{context}/{name}/value", may(identity.ActionReveal), "show-secret", "Show a secret's value, to who has just proved who they are; it is written down", a.showSecret),
		on(a, "PUT /api/secrets/{context}/{name}", edit, "set-secret", "Set a secret", a.setSecret),
		on(a, "DELETE /api/secrets/{context}/{name}", edit, "remove-secret", "Remove a secret", a.removeSecret),

		on(a, "GET /api/volumes", read, "list-volumes", "List the volumes of stages, with their size and whose they are", a.listVolumes),
		on(a, "GET /api/volumes/{volume}", read, "get-volume", "Show a volume", a.getVolume),
		on(a, "DELETE /api/volumes/{volume}", administer, "remove-volume", "Remove a volume that nothing uses, and what is in it", a.removeVolume),
		download(a, "GET /api/volumes/{volume}/backup", administer, "back-up-volume", "Download what is in a volume as a tar stream", a.backUpVolume),
		upload(a, "POST /api/volumes/{volume}/restore", administer, "restore-volume", "Make a volume hold what a tar stream has", a.restoreVolume),

		on(a, "GET /api/images", read, "list-images", "List the built-in registry's repositories", a.listImages),
		on(a, "DELETE /api/images", edit, "remove-image", "Remove a repository from the built-in registry", a.removeImage),
		on(a, "GET /api/images/tags", read.at(oneRepository), "list-image-tags", "List a repository's tags", a.listImageTags),
		on(a, "DELETE /api/images/tags", edit, "remove-image-tag", "Remove a tag", a.removeImageTag),

		on(a, "GET /api/registries", administer, "list-registries", "List the accounts on other registries", a.listRegistries),
		on(a, "PUT /api/registries/{host}", administer, "set-registry", "Set the account on a registry", a.setRegistry),
		on(a, "DELETE /api/registries/{host}", administer, "remove-registry", "Remove the account on a registry", a.removeRegistry),

		// An edit of a channel for all of Berth, and of one that leads into a
		// private network, is for administrators: see channel.go.
		on(a, "GET /api/channels", read, "list-channels", "List notification channels", a.listChannels),
		on(a, "POST /api/channels", edit, "create-channel", "Add a notification channel", a.createChannel),
		on(a, "GET /api/channels/{channel}", read, "get-channel", "Show a notification channel", a.getChannel),
		on(a, "PATCH /api/channels/{channel}", edit, "update-channel", "Change a notification channel", a.updateChannel),
		on(a, "DELETE /api/channels/{channel}", edit, "remove-channel", "Remove a notification channel and its record", a.removeChannel),
		on(a, "POST /api/channels/{channel}/test", edit, "test-channel", "Send a test message and say how it went", a.testChannel),
		on(a, "GET /api/notifications", read, "list-notifications", "List what was sent to channels, newest first", a.listNotifications),
		on(a, "POST /api/notifications/{id}/retry", edit, "retry-notification", "Send a message again that failed", a.retryNotification),

		// Whoever was shown an assertion may ask for what its route lets them.
		on(a, "POST /api/token-exchange", public, "exchange-token", "Give an app an access token of whom an assertion names", a.exchangeToken),

		// Whoever knows the token in the path may tell of a push, and nothing else.
		on(a, "POST /api/webhooks/{source}/{token}", public, "receive-webhook", "Tell of a push to another registry", a.receiveWebhook),
		on(a, "GET /api/hooks", read, "list-webhooks", "List webhooks with the last delivery of each", a.listWebhooks),
		on(a, "POST /api/hooks", edit, "create-webhook", "Add a webhook; its address is shown this once", a.createWebhook),
		on(a, "GET /api/hooks/{id}", read, "get-webhook", "Show a webhook", a.getWebhook),
		on(a, "DELETE /api/hooks/{id}", edit, "remove-webhook", "Remove a webhook and its deliveries", a.removeWebhook),
		on(a, "GET /api/hooks/{id}/deliveries", read, "list-deliveries", "List what was sent to a webhook, newest first", a.listDeliveries),
		on(a, "GET /api/hooks/{id}/deliveries/{delivery}", edit, "get-delivery", "Show a delivery with what was sent", a.getDelivery),
		on(a, "POST /api/hooks/{id}/deliveries/{delivery}/replay", deploy, "replay-delivery", "Take a delivery again", a.replayDelivery),

		on(a, "GET /api/sources", read, "list-sources", "List the images in other registries that are watched, and how that goes", a.listSources),
		on(a, "POST /api/sources/poll", deploy, "poll-source", "Look at a watched image as soon as may be", a.pollSource),

		on(a, "GET /api/manifest", read, "export-manifest", "Export the configuration as YAML: secrets by name; routes, accounts, providers and who administers for administrators alone", a.exportManifest),
		on(a, "POST /api/manifest/export", may(identity.ActionReveal), "seal-manifest", "Export the configuration as YAML with its secrets sealed for keys of age, to who has just proved who they are; it is written down", a.sealManifest),
		on(a, "POST /api/manifest/plan", edit, "plan-manifest", "Say what applying a configuration would change", a.planManifest),
		on(a, "POST /api/manifest/apply", edit, "apply-manifest", "Make the server have what a configuration says", a.applyManifest),

		on(a, "GET /api/system", read, "get-system", "Show the version, the engine and the disk", a.getSystem),
		on(a, "GET /api/system/disks", read, "list-disks", "Show the room on the disks that Berth depends on", a.listDisks),
		on(a, "GET /api/system/containers", administer, "list-neighbours", "List the containers in the engine that this Berth did not make", a.listNeighbours),
		on(a, "GET /api/system/leftovers", read, "list-leftovers", "Say which images keeping house would remove, and why some stay", a.listLeftovers),
		on(a, "POST /api/system/leftovers/remove", edit, "keep-house", "Remove the images that nothing needs", a.keepHouse),
		on(a, "GET /api/system/settings", administer, "list-settings", "Show the settings in force and where each comes from", a.listSettings),
		on(a, "GET /api/openapi.json", oneself, "get-openapi", "Read this document", a.getOpenAPI),
	}
}

// maxBodyBytes bounds a request's body.
const maxBodyBytes = 1 << 20

// on makes a line of the table of a handler: decode, call, encode.
func on[I, O any](a *API, pattern string, r rule, id, summary string, handle func(context.Context, *I) (*O, error)) route {
	return route{
		operation: newOperation(pattern, id, summary),
		rule:      r,
		register: func(h huma.API, o huma.Operation) {
			huma.Register(h, o, func(ctx context.Context, in *I) (*O, error) {
				callerOf(ctx).bodyRead()
				out, err := handle(ctx, in)
				if err != nil {
					return nil, a.report(ctx, err)
				}
				return out, nil
			})
		},
	}
}

func newOperation(pattern, id, summary string) huma.Operation {
	var method, path string
	if _, err := fmt.Sscan(pattern, &method, &path); err != nil {
		panic("route " + pattern + ": want a method and a path")
	}
	o := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		Tags:                         []string{tagOf(path)},
		MaxBodyBytes:                 maxBodyBytes,
		RejectUnknownQueryParameters: true,
	}
	switch id {
	case "start-deployment", "redeploy", "roll-back", "poll-source", "receive-webhook", "replay-delivery", "promote", "approve-deployment", "run-job":
		o.DefaultStatus = http.StatusAccepted
	case "create-person", "create-group", "create-project", "create-stage", "create-token", "create-webhook", "create-channel", "create-provider", "create-route":
		o.DefaultStatus = http.StatusCreated
	case "plan-manifest", "apply-manifest":
		o.MaxBodyBytes = maxManifestBytes
	}
	return o
}

// register puts a table on the mux, and refuses a route without a rule.
func (a *API) register(h huma.API, table []route) error {
	for _, r := range table {
		if r.rule == (rule{}) {
			return fmt.Errorf("route %s %s has no access rule", r.operation.Method, r.operation.Path)
		}
		o := r.operation
		o.Extensions = map[string]any{"x-access": r.rule.String(), "x-bound-token": r.rule.boundToken()}
		o.Security = []map[string][]string{{"session": {}}, {"token": {}}}
		if r.rule.public {
			o.Security = []map[string][]string{}
		}
		o.Middlewares = huma.Middlewares{a.admit(r.rule)}
		r.register(h, o)
	}
	return nil
}

// admit lets a request on to its handler when the rule allows it.
func (a *API) admit(r rule) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		if err := a.admits(c, r); err != nil {
			p := a.report(c.Context(), err)
			for name, values := range p.header {
				for _, v := range values {
					c.SetHeader(name, v)
				}
			}
			c.SetHeader("Content-Type", p.ContentType(""))
			c.SetStatus(p.Status)
			_ = huma.DefaultJSONFormat.Marshal(c.BodyWriter(), p)
			return
		}
		next(c)
	}
}
