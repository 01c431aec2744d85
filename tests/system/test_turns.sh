#!/usr/bin/env bash
# How long answers take, of a server and of what it asks, without a word said about either.
. "$(dirname "$0")/../lib/system.sh"
need_bpf

# A server on all addresses that answers after 20 ms, by TCP, UDP and Unix sockets; clients that ask
# it, block or wait for all sockets in one epoll, and know themselves how long it took.
cat >"$T/serve.py" <<'P'
import os, selectors, socket, sys, threading, time
s = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=50)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 0))
def tcp(c):
    took = []
    while c.recv(100):
        at = time.monotonic()
        time.sleep(0.02)
        c.send(b"answer")
        took.append("took %d\n" % ((time.monotonic() - at) * 1e9))
    print("".join(took), end="", flush=True)
def udp():
    while True:
        d, a = u.recvfrom(100)
        time.sleep(0.01)
        u.sendto(d, a)
def local(x):
    while True:
        c, _ = x.accept()
        while c.recv(100):
            time.sleep(0.005)
            c.sendmsg([b"answer"])
for name in sys.argv[1:]:
    x = socket.socket(socket.AF_UNIX)
    x.bind(name.replace("@", "\0"))
    x.listen()
    threading.Thread(target=local, args=(x,), daemon=True).start()
threading.Thread(target=udp, daemon=True).start()
print(s.getsockname()[1], u.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    threading.Thread(target=tcp, args=(c,), daemon=True).start()
P
cat >"$T/ask.py" <<'P'
import selectors, socket, sys, time
port, udp, n = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("up", flush=True)
sys.stdin.readline()
took = []
c = socket.create_connection(("127.0.0.1", port))
for _ in range(n):
    at = time.monotonic()
    c.send(b"question")
    c.recv(100)
    took.append(time.monotonic() - at)
sel = selectors.DefaultSelector()
six = [socket.create_connection(("::1", port)) for _ in range(4)]
for x in six:
    x.setblocking(False)
    sel.register(x, selectors.EVENT_READ, [0])
    x.send(b"question")
left = 4 * n
while left:
    for key, _ in sel.select():
        key.fileobj.recv(100)
        key.data[0] += 1
        left -= 1
        if key.data[0] < n:
            key.fileobj.send(b"question")
q = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
q.connect(("127.0.0.1", udp))
for _ in range(n):
    q.send(b"name")
    q.recv(100)
for name in sys.argv[4:]:
    x = socket.socket(socket.AF_UNIX)
    x.connect(name.replace("@", "\0"))
    for _ in range(n):
        x.sendall(b"question")
        x.recv(100)
# Nobody listens: neither end has a name.
a, b = socket.socketpair()
for _ in range(n):
    a.send(b"ping")
    b.recv(100)
    b.send(b"pong")
    a.recv(100)
took.sort()
print("done", took[len(took) // 2] * 1e9, flush=True)
sys.stdin.readline()
P
if ! command -v python3 >/dev/null; then
	skip "no python3 here"
	exit
fi
names=("$T/local" "@perftop-$$")
start server python3 "$T/serve.py" "${names[@]}"
server=$pid
eventually 10 test -s "$T/server.out"
read -r port udp <"$T/server.out"
mkfifo "$T/in"
exec 7<>"$T/in"
python3 "$T/ask.py" "$port" "$udp" 50 "${names[@]}" <&7 >"$T/client.out" 2>"$T/client.err" &
client=$!
started+=("$client")
eventually 10 grep -q up "$T/client.out"
watch() { # watch NAME PID
	"$PERFTOP" --json --syscalls=full -d 250ms --duration 900s -p "$2" >"$T/$1.json" 2>"$T/$1.err" &
	watchers+=($!)
	started+=($!)
	eventually 10 test -s "$T/$1.json"
}
watchers=()
watch of_client "$client"
watch of_server "$server"
echo go >&7
eventually 30 grep -q done "$T/client.out"
pass "$T/of_client.json" 2
pass "$T/of_server.json" 2
kill -INT "${watchers[@]}" 2>/dev/null
wait "${watchers[@]}" 2>/dev/null
truth=$(sed -n 's/^done //p' "$T/client.out")
echo >&7 # it ends, and so do its connections
all_told() { [ "$(grep -c ^took "$T/server.out")" = 250 ]; }
eventually 10 all_told
served=$(sed -n 's/^took //p' "$T/server.out" | sort -n | sed -n 125p)
row() { tail -1 "$T/$1.json" | jq -r --arg n "$2" ".latency[] | select(.name == \$n) | $3"; }
equal "each answer to a client that blocks is seen" "$(row of_client "answers of 127.0.0.1:$port" .count)" 50
equal "so is each of an event loop's, by IPv6" "$(row of_client "answers of [::1]:$port" .count)" 200
equal "and each by UDP" "$(row of_client "answers of 127.0.0.1:$udp" .count)" 50
for name in "${names[@]}"; do
	equal "and each by the Unix socket ${name#"$T/"}" "$(row of_client "answers of $name" '"\(.module) \(.count)"')" "unix 50"
	equal "as the server sees" "$(row of_server "requests to $name" .count)" 50
	between "in the 5 ms that it takes, ms" "$(row of_server "requests to $name" '.p50 / 1e6')" 4.9 8
done
equal "a pair of sockets is nobody's" "$(tail -1 "$T/of_client.json" | jq '[.latency[].name] | length')" 5
# The client loses its CPU before and after its calls too; the server's sleep is in all of them.
between "no longer than they took the client, and no shorter than the server, ns" \
	"$(row of_client "answers of 127.0.0.1:$port" .p50)" \
	"$(jq -n "$served * 0.95")" "$(jq -n "$truth * 1.05")"
equal "each request is seen by the server" "$(row of_server "requests to :$port" .count)" 250
between "and took it as long as it saw, ratio of medians" \
	"$(jq -n --argjson a "$(row of_server "requests to :$port" .p50)" --argjson b "$served" '$a / $b')" 0.95 1.05
equal "what they are is said" "$(row of_server "requests to :$port" '"\(.source) \(.module) \(.note)"')" \
	"socket tcp from data read to data sent"

# A program that we did not write, and its own count.
start_redis $((20000 + $$ % 20000))
"$PERFTOP" --json --syscalls=full --max-overhead 100 -d 250ms --duration 900s -p "$redis_pid" >"$T/redis.json" 2>"$T/redis.err" &
watchers=($!)
started+=("${watchers[@]}")
eventually 10 test -s "$T/redis.json"
tcp_port=$(redis-cli -s "$redis_sock" config get port | tail -1)
redis-benchmark -p "$tcp_port" -t get -n 20000 -c 5 -q >"$T/bench.out" 2>&1
pass "$T/redis.json" 2
kill -INT "${watchers[@]}" 2>/dev/null
wait "${watchers[@]}" 2>/dev/null
calls=$(redis-cli -s "$redis_sock" info commandstats | tr -d '\r' | sed -n 's/^cmdstat_get:calls=\([0-9]*\),.*/\1/p')
between "redis's requests are counted, of its own count of GET" \
	"$(jq -n --argjson a "$(row redis "requests to :$tcp_port" .count)" --argjson b "$calls" '$a / $b')" 1 1.001
