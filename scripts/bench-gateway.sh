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

# free_port prints a port that nothing listens on, below those that the kernel
# hands out.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
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

# ticks PID: the processor time that a process and its children took so far,
# in hundredths of a second.
ticks() { cat "/proc/$1/stat" $(sed 's|[0-9]*|/proc/&/stat|g' "/proc/$1/task/$1/children") | awk '{t += $14 + $15} END {print t}'; }

# measure PID PORT [wrk options]: prints requests a second, and the
# microseconds of processor time that the proxy took for each.
measure() {
	local pid=$1 port=$2 out before
	shift 2
	before=$(ticks "$pid")
	out=$(wrk -t2 -c"$connections" -d"${seconds}s" -H 'Host: app.test' "$@" "http://127.0.0.1:$port/")
	if grep -Eq 'Non-2xx|Socket errors' <<<"$out"; then
		echo "bench-gateway: errors while measuring:" >&2
		echo "$out" >&2
		exit 1
	fi
	awk -v t="$(($(ticks "$pid") - before))" '/requests in/ {n = $1} /^Requests\/sec/ {printf "%d %.1f\n", $2, t * 10000 / n}' <<<"$out"
}

# median COLUMN LINE...: the median of one column.
median() {
	local column=$1
	shift
	printf '%s\n' "$@" | awk -v c="$column" '{print $c}' | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

for server in "${pids[1]} $proxy" "${pids[2]} $one" "${pids[3]} $many"; do seconds=1 measure $server >/dev/null; done # warm
nginx_get=() one_get=() many_get=() nginx_post=() one_post=()
for _ in $(seq "$rounds"); do
	nginx_get+=("$(measure "${pids[1]}" "$proxy")")
	one_get+=("$(measure "${pids[2]}" "$one")")
	many_get+=("$(measure "${pids[3]}" "$many")")
	nginx_post+=("$(measure "${pids[1]}" "$proxy" -s "$dir/post.lua")")
	one_post+=("$(measure "${pids[2]}" "$one" -s "$dir/post.lua")")
done

# line NAME NOTE REFERENCE LINE...: one line of the table; REFERENCE is the
# rate that the rate is divided by.
line() {
	local name=$1 note=$2 reference=$3 rate cpu
	shift 3
	rate=$(median 1 "$@") cpu=$(median 2 "$@")
	awk -v n="$name" -v note="$note" -v r="$rate" -v c="$cpu" -v f="$reference" \
		'BEGIN {printf "  %-28s %8d/s %8.1f µs   %.2f %s\n", n, r, c, r / f, note}'
}
n=$(median 1 "${nginx_get[@]}") o=$(median 1 "${one_get[@]}") np=$(median 1 "${nginx_post[@]}")
echo "gateway: median of $rounds × $seconds s, $connections connections, $(nproc) cores shared with wrk and backend"
echo "                                  requests  own CPU each"
line "nginx, GET" "" "$n" "${nginx_get[@]}"
line "Berth, GET, 1 route" "of nginx (floor 0.28)" "$n" "${one_get[@]}"
line "Berth, GET, 1,000 routes" "of one route (floor 0.95)" "$o" "${many_get[@]}"
line "nginx, POST 200 bytes" "" "$np" "${nginx_post[@]}"
line "Berth, POST 200 bytes" "of nginx (each on a new connection to the app)" "$np" "${one_post[@]}"
