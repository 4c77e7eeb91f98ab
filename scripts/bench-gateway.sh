#!/usr/bin/env bash
# Compares Berth's gateway with Debian's nginx as a proxy in front of the same
# small backend (nginx too), in turn, on loopback, with wrk: requests a second,
# and the ratio. Metrics are on. It also compares 1,000 routes with one, and
# shows what a POST costs, which always takes a new connection to the app.
#
# BENCH_SECONDS (3) is the length of one measurement, BENCH_ROUNDS (3) how
# often each is made; the median counts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${BENCH_SECONDS:-3}
rounds=${BENCH_ROUNDS:-3}
connections=${BENCH_CONNECTIONS:-64}

for tool in nginx wrk go; do
	if ! command -v "$tool" >/dev/null; then
		echo "bench-gateway: $tool is not installed (Debian: apt install nginx-light wrk golang)" >&2
		exit 1
	fi
done

dir=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap finish EXIT

# free_port prints a port that nothing listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

# wait_for waits until an address answers.
wait_for() {
	for _ in $(seq 100); do
		(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
		sleep 0.05
	done
	echo "bench-gateway: nothing listens on port $1" >&2
	exit 1
}

backend=$(free_port) proxy=$(free_port) one=$(free_port) many=$(free_port)

# nginx_conf NAME BODY: a configuration whose http block is BODY.
nginx_conf() {
	mkdir -p "$dir/$1"
	cat >"$dir/$1/nginx.conf" <<-END
		daemon off;
		worker_processes auto;
		pid $dir/$1/pid;
		error_log $dir/$1/error.log warn;
		events { worker_connections 4096; }
		http {
			access_log off;
			keepalive_requests 1000000;
			client_body_temp_path $dir/$1/body;
			proxy_temp_path $dir/$1/proxy;
			fastcgi_temp_path $dir/$1/fastcgi;
			uwsgi_temp_path $dir/$1/uwsgi;
			scgi_temp_path $dir/$1/scgi;
			$2
		}
	END
	nginx -p "$dir/$1" -c "$dir/$1/nginx.conf" 2>"$dir/$1/start.log" &
	pids+=($!)
}

nginx_conf backend "server { listen 127.0.0.1:$backend; location / { default_type text/plain; return 200 'hello from the app\n'; } }"
nginx_conf proxy "
	upstream app { server 127.0.0.1:$backend; keepalive 128; keepalive_requests 1000000; }
	server { listen 127.0.0.1:$proxy; location / {
		proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';
		proxy_set_header Host \$host; proxy_set_header X-Real-IP \$remote_addr;
		proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Proto \$scheme;
		proxy_set_header X-Request-Id \$request_id;
	} }"

go build -o "$dir/gateway" ./e2e/bench/gateway
"$dir/gateway" -listen "127.0.0.1:$one" -backend "127.0.0.1:$backend" &
pids+=($!)
"$dir/gateway" -listen "127.0.0.1:$many" -backend "127.0.0.1:$backend" -routes 1000 &
pids+=($!)
for port in "$backend" "$proxy" "$one" "$many"; do wait_for "$port"; done

cat >"$dir/post.lua" <<'END'
wrk.method = "POST"
wrk.body   = string.rep("x", 200)
END

# measure PORT [wrk options]: prints requests a second.
measure() {
	local port=$1 out
	shift
	out=$(wrk -t2 -c"$connections" -d"${seconds}s" -H 'Host: app.test' "$@" "http://127.0.0.1:$port/")
	if grep -Eq 'Non-2xx|Socket errors' <<<"$out"; then
		echo "bench-gateway: errors while measuring:" >&2
		echo "$out" >&2
		exit 1
	fi
	awk '/^Requests\/sec/ {print $2}' <<<"$out"
}

median() { printf '%s\n' "$@" | sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for port in "$proxy" "$one" "$many"; do seconds=1 measure "$port" >/dev/null; done # warm
nginx_get=() one_get=() many_get=() nginx_post=() one_post=()
for _ in $(seq "$rounds"); do
	nginx_get+=("$(measure "$proxy")")
	one_get+=("$(measure "$one")")
	many_get+=("$(measure "$many")")
	nginx_post+=("$(measure "$proxy" -s "$dir/post.lua")")
	one_post+=("$(measure "$one" -s "$dir/post.lua")")
done

n=$(median "${nginx_get[@]}") o=$(median "${one_get[@]}") m=$(median "${many_get[@]}")
np=$(median "${nginx_post[@]}") op=$(median "${one_post[@]}")
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }
cat <<END
gateway: requests a second, median of $rounds × $seconds s, $connections connections, $(nproc) cores shared with wrk and backend
  nginx, GET                   $n
  Berth, GET, 1 route          $o   $(ratio "$o" "$n") of nginx (floor 0.28)
  Berth, GET, 1,000 routes     $m   $(ratio "$m" "$o") of one route (floor 0.95)
  nginx, POST 200 bytes        $np
  Berth, POST 200 bytes        $op   $(ratio "$op" "$np") of nginx (new connection to the app each)
END
