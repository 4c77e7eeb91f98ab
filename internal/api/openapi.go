package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"berth/internal/container"
	"berth/internal/deploy"
	"berth/internal/event"
	"berth/internal/gateway"
	"berth/internal/identity"
	"berth/internal/manifest"
	"berth/internal/notify"
	"berth/internal/registry"
	"berth/internal/settings"
	"berth/internal/signin"
	"berth/internal/webhook"
)

//go:generate go test . -run TestOpenAPI -update

// OpenAPI gives the OpenAPI 3.1 document that docs/openapi.json keeps.
func OpenAPI() ([]byte, error) {
	_, document, err := newMux(&API{})
	return document, err
}

// newMux makes a mux of the route table, and the document of it.
func newMux(a *API) (*http.ServeMux, []byte, error) {
	mux := http.NewServeMux()
	h := humago.New(mux, newHumaConfig())
	if err := a.register(h, a.routes()); err != nil {
		return nil, nil, err
	}
	raw, err := json.Marshal(h.OpenAPI())
	if err != nil {
		return nil, nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		return nil, nil, err
	}
	pretty.WriteByte('\n')
	return mux, pretty.Bytes(), nil
}

func newHumaConfig() huma.Config {
	c := huma.DefaultConfig("Berth", "1")
	c.Info.Description = "Deploys containers without dropping a request. Errors are RFC 9457 problems; " +
		"lists have items and, where there is more, next; an edit carries the version that was seen."
	c.DocsPath, c.SchemasPath, c.OpenAPIPath = "", "", "" // nothing but the route table answers
	c.CreateHooks = nil                                   // no "$schema" in bodies
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-berth", Description: "From sign-in; over plain HTTP on loopback its name is berth"},
		"token":   {Type: "http", Scheme: "bearer", Description: "An API token"},
	}
	for _, e := range enums {
		c.Components.Schemas.RegisterTypeAlias(e.of, e.schema)
	}
	return c
}

// schemaName names the types whose own name says too little without their
// package.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[event.Record](), reflect.TypeFor[event.Verification](), reflect.TypeFor[event.Break]():
		return "Audit" + t.Name()
	case reflect.TypeFor[List[event.Record]]():
		return "ListAuditRecord"
	case reflect.TypeFor[container.Info]():
		return "EngineInfo"
	case reflect.TypeFor[container.Stats]():
		return "InstanceStats"
	case reflect.TypeFor[deploy.Usage]():
		return "StageUsage"
	case reflect.TypeFor[gateway.Minute]():
		return "RouteMinute"
	case reflect.TypeFor[notify.Channel]():
		return "NotificationChannel"
	case reflect.TypeFor[notify.Delivery]():
		return "Notification"
	case reflect.TypeFor[webhook.Source]():
		return "WebhookSource"
	case reflect.TypeFor[webhook.Delivery]():
		return "WebhookDelivery"
	case reflect.TypeFor[List[webhook.Delivery]]():
		return "ListWebhookDelivery"
	case reflect.TypeFor[registry.Source]():
		return "ImageSource"
	case reflect.TypeFor[manifest.Plan](), reflect.TypeFor[manifest.Change](),
		reflect.TypeFor[manifest.Result](), reflect.TypeFor[manifest.Failure]():
		return "Manifest" + t.Name()
	case reflect.TypeFor[settings.Value]():
		return "SettingValue"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// enums are the named types whose values the document lists.
var enums = []struct{ of, schema reflect.Type }{
	enum[deploy.Kind, deploymentKinds](),
	enum[deploy.Trigger, triggers](),
	enum[deploy.State, deploymentStates](),
	enum[deploy.Approval, approvals](),
	enum[deploy.StepName, stepNames](),
	enum[deploy.StepState, stepStates](),
	enum[deploy.RunState, runStates](),
	enum[deploy.RunTrigger, runTriggers](),
	enum[deploy.Overlap, overlaps](),
	enum[deploy.InstanceState, instanceStates](),
	enum[deploy.LogState, logStates](),
	enum[deploy.StageState, stageStates](),
	enum[deploy.WatchPhase, watchPhases](),
	enum[deploy.WatchState, watchStates](),
	enum[deploy.Protocol, protocols](),
	enum[deploy.TargetProtocol, targetProtocols](),
	enum[deploy.TagKind, tagKinds](),
	enum[deploy.ProbeKind, probeKinds](),
	enum[deploy.Duration, duration](),
	enum[container.Lack, lacks](),
	enum[notify.Service, services](),
	enum[notify.Kind, noticeKinds](),
	enum[notify.Level, noticeLevels](),
	enum[notify.State, deliveryStates](),
	enum[event.Category, auditCategories](),
	enum[registry.Interval, interval](),
	enum[registry.SourceState, sourceStates](),
	enum[signin.Preset, presets](),
	enum[signin.Reason, refusals](),
	enum[webhook.Source, webhookSources](),
	enum[webhook.Verdict, verdicts](),
	enum[identity.Role, roles](),
	enum[identity.Scope, scopes](),
	enum[identity.Via, vias](),
	enum[identity.Method, proofMethods](),
}

func enum[T any, S huma.SchemaProvider]() struct{ of, schema reflect.Type } {
	return struct{ of, schema reflect.Type }{reflect.TypeFor[T](), reflect.TypeFor[S]()}
}

func oneOf[T ~string](values ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

type (
	deploymentKinds  struct{}
	triggers         struct{}
	deploymentStates struct{}
	approvals        struct{}
	stepNames        struct{}
	stepStates       struct{}
	runStates        struct{}
	runTriggers      struct{}
	overlaps         struct{}
	instanceStates   struct{}
	logStates        struct{}
	stageStates      struct{}
	watchPhases      struct{}
	watchStates      struct{}
	protocols        struct{}
	targetProtocols  struct{}
	tagKinds         struct{}
	probeKinds       struct{}
	duration         struct{}
	interval         struct{}
	auditCategories  struct{}
	sourceStates     struct{}
	webhookSources   struct{}
	presets          struct{}
	refusals         struct{}
	verdicts         struct{}
	lacks            struct{}
	roles            struct{}
	services         struct{}
	noticeKinds      struct{}
	noticeLevels     struct{}
	deliveryStates   struct{}
	scopes           struct{}
	vias             struct{}
	proofMethods     struct{}
)

func (logStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.LogLive, deploy.LogKept, deploy.LogNone)
}

func (deploymentKinds) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.KindDeploy, deploy.KindRedeploy, deploy.KindRollback, deploy.KindPromote)
}

func (triggers) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.TriggerPush, deploy.TriggerWebhook, deploy.TriggerPoll, deploy.TriggerAPI, deploy.TriggerPerson, deploy.TriggerPromote)
}

func (deploymentStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.Held, deploy.Waiting, deploy.Running, deploy.Live, deploy.Replaced, deploy.Failed, deploy.Canceled, deploy.Superseded, deploy.Reverted)
}

func (approvals) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.ApprovalAny, deploy.ApprovalOther)
}

func (auditCategories) Schema(huma.Registry) *huma.Schema { return oneOf(event.Categories...) }

func (stepNames) Schema(huma.Registry) *huma.Schema { return oneOf(deploy.AllSteps...) }

func (runStates) Schema(huma.Registry) *huma.Schema { return oneOf(deploy.RunStates...) }

func (runTriggers) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.RunBySchedule, deploy.RunByPerson, deploy.RunByAPI)
}

func (overlaps) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.OverlapSkip, deploy.OverlapQueue, deploy.OverlapAllow)
}

func (stepStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.StepPending, deploy.StepRunning, deploy.StepDone, deploy.StepFailed, deploy.StepSkipped)
}

func (instanceStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.InstanceCreated, deploy.InstanceStarting, deploy.InstanceReady, deploy.InstanceDown, deploy.InstanceDraining, deploy.InstanceStopped)
}

func (stageStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.StageEmpty, deploy.StageDeploying, deploy.StageHealthy, deploy.StageDegraded, deploy.StageDown, deploy.StageFailed)
}

func (watchPhases) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.WatchCanary, deploy.WatchGuard)
}

func (watchStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.Watching, deploy.Passed, deploy.Breached, deploy.Ended)
}

func (protocols) Schema(huma.Registry) *huma.Schema { return oneOf(deploy.HTTP1, deploy.H2C) }

func (targetProtocols) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.TargetHTTP1, deploy.TargetHTTP2)
}

func (tagKinds) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.TagNone, deploy.TagExact, deploy.TagGlob, deploy.TagRegexp, deploy.TagSemver)
}

func (probeKinds) Schema(huma.Registry) *huma.Schema {
	return oneOf(deploy.ProbeHTTP, deploy.ProbeTCP, deploy.ProbeNone)
}

func (duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Examples: []any{"1m30s"},
		Pattern:            `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`,
		PatternDescription: `a duration such as "30s" or "1m30s"`,
	}
}

func (interval) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"10m0s"}, MaxLength: new(40)}
}

func (sourceStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(registry.SourceNew, registry.SourceOK, registry.SourceFailing, registry.SourceWaiting, registry.SourceOff)
}

func (webhookSources) Schema(huma.Registry) *huma.Schema { return oneOf(webhook.Sources...) }

func (presets) Schema(huma.Registry) *huma.Schema {
	names := make([]signin.Preset, len(signin.Presets))
	for i, info := range signin.Presets {
		names[i] = info.Preset
	}
	return oneOf(names...)
}

func (refusals) Schema(huma.Registry) *huma.Schema { return oneOf(signin.Reasons...) }

func (verdicts) Schema(huma.Registry) *huma.Schema {
	return oneOf(webhook.Accepted, webhook.Ignored, webhook.Refused)
}

func (lacks) Schema(huma.Registry) *huma.Schema {
	return oneOf(container.LacksLimits, container.LacksStats, container.LacksOOM, container.LacksOwners)
}

func (roles) Schema(huma.Registry) *huma.Schema {
	return oneOf(identity.RoleAdministrator, identity.RoleMember, identity.RoleUser)
}

func (services) Schema(huma.Registry) *huma.Schema { return oneOf(notify.Services...) }

func (noticeKinds) Schema(huma.Registry) *huma.Schema {
	return oneOf(append(slices.Clone(notify.Kinds), notify.Test)...)
}

func (noticeLevels) Schema(huma.Registry) *huma.Schema {
	return oneOf(notify.Good, notify.Ask, notify.Bad)
}

func (deliveryStates) Schema(huma.Registry) *huma.Schema {
	return oneOf(notify.Pending, notify.Sent, notify.Failed)
}

func (scopes) Schema(huma.Registry) *huma.Schema {
	return oneOf(identity.ScopeRead, identity.ScopeDeploy, identity.ScopeAdmin)
}

func (proofMethods) Schema(huma.Registry) *huma.Schema {
	return oneOf(identity.MethodPassword, identity.MethodTOTP, identity.MethodRecovery, identity.MethodPasskey, identity.MethodProvider, identity.MethodMFA)
}

func (vias) Schema(huma.Registry) *huma.Schema {
	return oneOf(identity.ViaSession, identity.ViaToken, identity.ViaPassword, identity.ViaLocal)
}

// tagOf groups an operation under its path's first word.
func tagOf(path string) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/"), "/")
	return strings.TrimSuffix(word, ".json")
}
