#!/bin/sh
# Deploys a tag to a stage of Berth, where there is no berth binary, and waits
# until it is live, and its guard and the command after the switch are over
# where the stage has them. It needs a POSIX shell, curl and jq, and pushes
# nothing.
#
#   BERTH_URL=https://berth.example.com BERTH_TOKEN=berth_… deploy.sh PROJECT STAGE TAG
#
# DEPLOY_TIMEOUT is how many seconds it waits, 1800 by default. The exit codes
# are those of "berth deploy --wait": 0 live, 2 wrong input, 3 no valid token,
# 4 not allowed, 5 no such thing, 6 in conflict, 8 too often, 9 a part is away
# or the time is up, 10 the release did not go live, 1 anything else.
set -eu

fail() { # CODE MESSAGE
	echo "deploy.sh: $2" >&2
	exit "$1"
}

[ $# -eq 3 ] || fail 2 "want PROJECT STAGE TAG"
: "${BERTH_URL:?the server, such as https://berth.example.com}" "${BERTH_TOKEN:?an API token with the scope deploy}"
url=${BERTH_URL%/}
deadline=$(($(date +%s) + ${DEPLOY_TIMEOUT:-1800}))
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# call METHOD PATH [BODY] leaves the body in $answer and the status in $status,
# which is 000 when nobody answered. The token goes by standard input, so that
# no list of processes shows it.
call() {
	status=$(printf 'header = "Authorization: Bearer %s"\n' "$BERTH_TOKEN" |
		curl --silent --config - --max-time 60 --request "$1" --output "$answer" --write-out '%{http_code}' \
			--header 'Content-Type: application/json' ${3:+--data "$3"} "$url$2") || status=000
}

said() { jq -r '.detail // .title // empty' "$answer" 2>/dev/null || true; }

segment() { printf %s "$1" | jq -sRr @uri; }

call POST "/api/projects/$(segment "$1")/stages/$(segment "$2")/deployments" "$(jq -cn --arg tag "$3" '{reference: $tag}')"
case $status in
202) ;;
400 | 422) fail 2 "$(said)" ;;
401) fail 3 "$(said)" ;;
403) fail 4 "$(said)" ;;
404) fail 5 "$(said)" ;;
409) fail 6 "$(said)" ;;
429) fail 8 "$(said)" ;;
000 | 502 | 503 | 504) fail 9 "$url does not answer: status $status" ;;
*) fail 1 "status $status: $(said)" ;;
esac
id=$(jq -r .id "$answer")
echo "Deployment $id of $3 to $1/$2"

before=
while :; do
	call GET "/api/deployments/$id"
	case $status in
	200)
		# Live, and not settled: these two may give the stage back.
		state=$(jq -r 'if .state == "live" and any(.steps[]; (.name == "guard" or .name == "after_switch") and (.state == "running" or .state == "pending")) then "settling" else .state end' "$answer")
		[ "$state" = "$before" ] || echo "  $state"
		before=$state
		case $state in
		live | replaced) exit 0 ;;
		failed | canceled | superseded | reverted)
			fail 10 "$state: $(jq -r '.error // "no reason is given"' "$answer")"
			;;
		esac
		;;
	401) fail 3 "$(said)" ;;
	403) fail 4 "$(said)" ;;
	404) fail 5 "$(said)" ;;
	*) ;; # away for a moment: a deployment outlives a restart of Berth
	esac
	[ "$(date +%s)" -lt "$deadline" ] || fail 9 "the time is up; deployment $id goes on"
	sleep 2
done
