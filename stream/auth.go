package stream

import (
	"context"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
)

func (k KafkaConfig) clientOpts(dial func(ctx context.Context, network, address string) (net.Conn, error)) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(k.Brokers...)}
	if dial != nil {
		opts = append(opts, kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
			return dial(ctx, network, host)
		}))
	}
	return opts, nil
}
