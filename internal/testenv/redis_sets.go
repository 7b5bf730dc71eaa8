package testenv

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// A RedisCluster is three masters with a replica each, which takes over two seconds after
// its master went silent.
type RedisCluster struct {
	Masters, Replicas []*RedisServer // of the same index are the same slots, at first
}

// StartRedisCluster starts a cluster, each node with args besides, and ends it with the test.
func StartRedisCluster(t testing.TB, args ...string) *RedisCluster {
	t.Helper()
	args = append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0"}, args...)
	c := &RedisCluster{}
	const shards, slots = 3, 16384
	for range shards {
		c.Masters = append(c.Masters, StartRedis(t, args...))
		c.Replicas = append(c.Replicas, StartRedis(t, args...))
	}
	all := append(append([]*RedisServer(nil), c.Masters...), c.Replicas...)
	for i, node := range all {
		node.Do(t, "cluster", "set-config-epoch", i+1)
		if i < shards {
			add := []any{"cluster", "addslots"}
			for slot := slots * i / shards; slot < slots*(i+1)/shards; slot++ {
				add = append(add, slot)
			}
			node.Do(t, add...)
		}
		host, port, _ := net.SplitHostPort(node.Addr)
		all[0].Do(t, "cluster", "meet", host, port)
	}
	known := fmt.Sprintf("cluster_known_nodes:%d", len(all))
	for _, node := range all {
		node.await(t, "cluster info", known)
	}
	for i, replica := range c.Replicas {
		id := c.Masters[i].Do(t, "cluster", "myid")
		replica.await(t, "cluster nodes", id.(string))
		replica.Do(t, "cluster", "replicate", id)
	}
	for i, node := range all {
		node.await(t, "cluster info", "cluster_state:ok", "cluster_size:3")
		if i < shards {
			node.await(t, "info replication", "connected_slaves:1", "state=online")
		}
		for _, replica := range c.Replicas { // so that each knows whom to follow
			id := replica.Do(t, "cluster", "myid")
			node.await(t, "cluster nodes", id.(string))
		}
	}
	return c
}

// RedisSentinels is a master with two replicas, one of which three Sentinels promote two
// seconds after the master went silent.
type RedisSentinels struct {
	Name      string // the master's, for the Sentinels
	Master    *RedisServer
	Replicas  []*RedisServer
	Sentinels []*RedisServer
}

// StartRedisSentinels starts such a set, each server with args besides, and ends it with the
// test.
func StartRedisSentinels(t testing.TB, args ...string) *RedisSentinels {
	t.Helper()
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	s := &RedisSentinels{Name: "cache", Master: StartRedis(t, args...)}
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	for range 2 {
		s.Replicas = append(s.Replicas, StartRedis(t, append([]string{"--replicaof", host + " " + port}, args...)...))
	}
	s.Master.await(t, "info replication", "slave0:", "slave1:", "connected_slaves:2")
	for _, r := range s.Replicas {
		r.await(t, "info replication", "master_link_status:up")
	}
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(t, s.Master, s.Name))
	}
	for _, sentinel := range s.Sentinels {
		sentinel.await(t, "sentinel master "+s.Name, "num-other-sentinels:2", "num-slaves:2", "flags:master ")
	}
	return s
}

func startSentinel(t testing.TB, master *RedisServer, name string) *RedisServer {
	t.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	// Sentinel pings a server for the first time a second after it heard of it, and counts its
	// silence from then on: with one second here it may hold the server just promoted for dead
	// and promote the other, which lacks what the first was given meanwhile.
	text := fmt.Sprintf("dir %s\nbind 127.0.0.1\nsentinel monitor %[2]s %s %s 2\nsentinel down-after-milliseconds %[2]s 2000\nsentinel failover-timeout %[2]s 5000\n",
		filepath.Dir(config), name, host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &RedisServer{binary: master.binary, tls: master.tls}
	var err error
	for range 5 {
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
		args := slices.Concat([]string{config}, s.listen(), tlsFiles(master.args), []string{"--sentinel"})
		if err = s.run(args, "Sentinel ID is"); err == nil {
			t.Cleanup(s.Kill)
			s.await(t, "ping", "PONG")
			return s
		}
	}
	t.Fatal(err)
	return nil
}
