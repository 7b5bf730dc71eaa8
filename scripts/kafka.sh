#!/usr/bin/env bash
# Real Kafka on loopback without Docker, for tests: needs Java 17 and Maven.
#
#   kafka.sh start DIR N [PORT]   N brokers (KRaft, controllers combined) on PORT,
#                                 PORT+1, ...; default 19092. Goes on with DIR's data.
#   kafka.sh stop DIR             ends them; data and logs stay in DIR
#   kafka.sh with COMMAND...      runs COMMAND with one fresh broker, its address in
#                                 SCRY_TEST_KAFKA, and ends it
#
# KAFKA_OPTS are the JVM's options. Controllers listen on PORT+1000, ...
# DIR/extra-I.properties, where there is one, is added to the config of broker I.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pom=$here/kafka-pom.xml
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")
jars=$here/../.cache/kafka-$version

die() {
  echo "kafka.sh: $*" >&2
  exit 1
}

fetch_jars() {
  [ -f "$jars/.complete" ] && return
  command -v mvn >/dev/null || die "mvn is missing: install Maven, or copy Kafka $version's jars to $jars and touch $jars/.complete"
  mkdir -p "$jars"
  mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$(cd "$jars" && pwd)"
  touch "$jars/.complete"
}

jvm() { # DIR OPTIONS... CLASS ARGS...; replaces the shell, so that its pid is Java's
  local dir=$1
  shift
  exec java -Dlog4j2.configurationFile="$dir/log4j2.yaml" -cp "$jars/*" "$@"
}

write_config() { # DIR N PORT
  local dir=$1 n=$2 port=$3 voters="" replicas=$(($2 < 3 ? 1 : 3)) in_sync=$(($2 < 3 ? 1 : 2)) i
  for ((i = 1; i <= n; i++)); do
    voters+=${voters:+,}$i@127.0.0.1:$((port + 999 + i))
  done
  cat >"$dir/log4j2.yaml" <<'YAML'
Configuration:
  Appenders: {Console: {name: out, PatternLayout: {pattern: "%d %p %c %m%n"}}}
  Loggers: {Root: {level: WARN, AppenderRef: {ref: out}}}
YAML
  for ((i = 1; i <= n; i++)); do
    cat >"$dir/broker-$i.properties" <<PROPERTIES
process.roles=broker,controller
node.id=$i
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$((port + i - 1)),CONTROLLER://127.0.0.1:$((port + 999 + i))
advertised.listeners=PLAINTEXT://127.0.0.1:$((port + i - 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data-$i
auto.create.topics.enable=false
default.replication.factor=$replicas
min.insync.replicas=$in_sync
offsets.topic.replication.factor=$replicas
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$in_sync
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=$replicas
share.coordinator.state.topic.min.isr=$in_sync
group.initial.rebalance.delay.ms=0
PROPERTIES
    [ ! -f "$dir/extra-$i.properties" ] || cat "$dir/extra-$i.properties" >>"$dir/broker-$i.properties" # the last of a key counts
  done
}

# brokers_known PORT: how many live brokers the one on PORT reports, by a Metadata
# request (v1, all topics) in plain bytes; a JVM tool would take seconds each time.
brokers_known() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf '\0\0\0\016\0\3\0\1\0\0\0\7\377\377\377\377\377\377' >&3
    timeout 2 head -c 12 <&3 | od -An -tu1 -j8 | awk 'NF == 4 { print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'
  ) 2>/dev/null || true
}

start() { # DIR N PORT
  local dir=$1 n=$2 port=$3 i deadline known
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  fetch_jars
  write_config "$dir" "$n" "$port"
  for ((i = 1; i <= n; i++)); do
    if is_running "$dir" "$i"; then
      continue
    fi
    if [ ! -f "$dir/data-$i/meta.properties" ]; then
      (jvm "$dir" -Xmx256m kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk \
        -c "$dir/broker-$i.properties") >"$dir/broker-$i.log" 2>&1 || die "formatting failed: see $dir/broker-$i.log"
    fi
    # shellcheck disable=SC2086 # options are words
    jvm "$dir" ${KAFKA_OPTS:--Xms256m -Xmx512m} kafka.Kafka "$dir/broker-$i.properties" </dev/null >>"$dir/broker-$i.log" 2>&1 &
    echo $! >"$dir/broker-$i.pid"
    # until it is Java, is_running would not know it
    while kill -0 $! 2>/dev/null && ! is_running "$dir" "$i"; do sleep 0.05; done
  done
  deadline=$((SECONDS + 90))
  for ((i = 1; i <= n; i++)); do
    until known=$(brokers_known $((port + i - 1))) && [ "${known:-0}" -ge "$n" ]; do
      if ! is_running "$dir" "$i" || [ $SECONDS -ge $deadline ]; then
        tail -n 20 "$dir/broker-$i.log" >&2
        stop "$dir"
        die "broker $i did not come up: see $dir/broker-$i.log"
      fi
      sleep 0.2
    done
  done
}

# is_running DIR I: the process of the pid file, unless the pid is someone else's now.
is_running() {
  local pid
  pid=$(cat "$1/broker-$2.pid" 2>/dev/null) || return 1
  if [ -d /proc/self ]; then
    grep -qaF "$1/broker-$2.properties" "/proc/$pid/cmdline" 2>/dev/null
  else
    ps -p "$pid" -o args= 2>/dev/null | grep -qF "$1/broker-$2.properties"
  fi
}

stop() { # DIR
  local dir file i pid deadline
  dir=$(cd "$1" 2>/dev/null && pwd) || return 0
  for file in "$dir"/broker-*.pid; do
    [ -f "$file" ] || continue
    i=${file##*/broker-}
    is_running "$dir" "${i%.pid}" && kill "$(cat "$file")" 2>/dev/null
  done
  deadline=$((SECONDS + 10))
  for file in "$dir"/broker-*.pid; do
    [ -f "$file" ] || continue
    i=${file##*/broker-}
    pid=$(cat "$file")
    while is_running "$dir" "${i%.pid}"; do
      [ $SECONDS -lt $deadline ] || kill -9 "$pid" 2>/dev/null || true
      sleep 0.1
    done
    rm -f "$file"
  done
}

free_port() { # with its controller's port 1000 above free too
  local port
  while port=$((20000 + RANDOM % 10000)); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! (exec 3<>"/dev/tcp/127.0.0.1/$((port + 1000))") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

case ${1:-} in
start)
  [ $# -ge 3 ] || die "usage: kafka.sh start DIR N [PORT]"
  start "$2" "$3" "${4:-19092}"
  ;;
stop)
  [ $# -eq 2 ] || die "usage: kafka.sh stop DIR"
  stop "$2"
  ;;
with)
  [ $# -ge 2 ] || die "usage: kafka.sh with COMMAND..."
  shift
  dir=$(mktemp -d)
  trap 'stop "$dir"; rm -rf "$dir"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  port=$(free_port)
  start "$dir" 1 "$port"
  SCRY_TEST_KAFKA=127.0.0.1:$port "$@"
  ;;
*)
  die "usage: kafka.sh start DIR N [PORT] | stop DIR | with COMMAND..."
  ;;
esac
