package identity

import "berth/internal/fault"

// Action is what somebody wants to do, as coarse as the roles are. The zero
// Action is nothing, which nobody may.
type Action int

// The actions.
const (
	ActionRead       Action = iota + 1 // see projects, deployments, images
	ActionDeploy                       // start, redeploy, roll back, cancel
	ActionEdit                         // change projects, stages, secrets, images
	ActionPush                         // push images
	ActionPull                         // pull images
	ActionAdminister                   // people, registry accounts, settings, metrics
	ActionOwnAccount                   // one's own password, sessions and tokens
	ActionEndToken                     // end the API token one came with
	ActionOneself                      // learn who one is and which apps are open to one, and read the API's document
	ActionOwnFactors                   // one's own passkeys and other factors, in the session they are for
	ActionReveal                       // read a secret's value, sealed for a key or not, in a session or on the machine itself
	ActionExec                         // run a command in an instance: whatever the app may, and its secrets
)

func (a Action) String() string {
	switch a {
	case ActionRead:
		return "read"
	case ActionDeploy:
		return "deploy"
	case ActionEdit:
		return "edit"
	case ActionPush:
		return "push"
	case ActionPull:
		return "pull"
	case ActionAdminister:
		return "administer"
	case ActionOwnAccount:
		return "own account"
	case ActionEndToken:
		return "end token"
	case ActionOneself:
		return "oneself"
	case ActionOwnFactors:
		return "own factors"
	case ActionReveal:
		return "reveal"
	case ActionExec:
		return "exec"
	}
	return "nothing"
}

// Decide says whether s may do a on what on names: nil, or a fault of kind
// Unauthenticated (nobody is there, so signing in would help) or Denied
// (somebody is, and may not). What it is on counts for API tokens that are
// bound: see [Bounds]. It is a pure function of its arguments; nil is nobody.
func Decide(s *Subject, a Action, on On) error {
	if s == nil || s.Person.Disabled || !knownVia(s.Via) {
		return fault.SignIn("sign in first")
	}
	if !roleMay(s.Person.Role, a) {
		if s.Person.Role == RoleUser && roleMay(RoleMember, a) {
			return fault.Forbidden("only members and administrators may do this: your account is for entering apps")
		}
		return fault.Forbidden("only an administrator may do this")
	}
	if s.Via == ViaLocal && (a == ActionOwnAccount || a == ActionEndToken) {
		return fault.Forbidden("the local socket has no account of its own: sign in with \"berth login\" first")
	}
	if a == ActionOwnFactors && s.Via != ViaSession {
		return fault.Forbidden("this is for whoever is signed in with a browser")
	}
	if a == ActionReveal && s.Via != ViaSession && s.Via != ViaLocal {
		// A token lies where secrets leak from.
		return fault.Forbidden("an API token shows no secret, nor one that is sealed for a key: sign in with a browser, or run berth on the server's machine")
	}
	if s.Via == ViaToken && !scopeMay(s.Scope, a) {
		return fault.Forbidden("this API token has the scope %q, which is not enough", s.Scope)
	}
	if s.Bounds != nil && !s.Bounds.hold(a, on) {
		return fault.Forbidden("this API token is for %s alone", s.Bounds)
	}
	return nil
}

// decideFor says whether the actor may change what belongs to a person's
// account: their own, or, for an administrator, anybody's.
func decideFor(actor Subject, personID string) error {
	action := ActionAdminister
	if actor.Person.ID == personID {
		action = ActionOwnAccount
	}
	return Decide(&actor, action, On{})
}

func knownVia(v Via) bool {
	switch v {
	case ViaSession, ViaToken, ViaPassword, ViaLocal:
		return true
	case ViaJWT: // which opens apps, and nothing of Berth's
	}
	return false
}

func roleMay(r Role, a Action) bool {
	switch a {
	case ActionOwnAccount, ActionOwnFactors, ActionEndToken, ActionOneself:
		return r == RoleUser || r == RoleMember || r == RoleAdministrator
	case ActionRead, ActionDeploy, ActionEdit, ActionPush, ActionPull:
		return r == RoleMember || r == RoleAdministrator
	case ActionAdminister, ActionExec, ActionReveal:
		return r == RoleAdministrator
	}
	return false
}

func scopeMay(s Scope, a Action) bool {
	switch a {
	case ActionRead, ActionPull, ActionEndToken, ActionOneself:
		return s.level() >= ScopeRead.level()
	case ActionDeploy, ActionPush:
		return s.level() >= ScopeDeploy.level()
	case ActionEdit, ActionAdminister, ActionOwnAccount, ActionExec:
		return s.level() >= ScopeAdmin.level()
	case ActionOwnFactors, ActionReveal:
	}
	return false
}
