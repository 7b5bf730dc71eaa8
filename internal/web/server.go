// Package web is what scry serves over HTTP, at two addresses.
//
// The health address answers probes and Prometheus: /livez, /readyz, /metrics. Nothing
// there is private, so in a container it may listen on every interface.
//
// The admin address serves a page, the status it is drawn from, and the lookup of a
// cached prediction. It listens on loopback unless told otherwise, and then answers only
// requests that name a loopback host: a web site whose name is made to resolve to
// 127.0.0.1 must not read predictions through the operator's browser.
//
// Both only answer questions; nothing here changes anything.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"scry/predictor"
	"scry/stream"
)

// Config is what is served, and where.
type Config struct {
	Health, Admin string // addresses, host:port
	Pprof         bool   // adds /debug/pprof to Admin
	Name          string // of the pipeline
	Deployment    *predictor.Deployment
	Consumer      *stream.Consumer
	Gatherer      prometheus.Gatherer
	Log           *slog.Logger // nil: nothing is logged
}

// A Server listens from Listen on and answers while it runs.
type Server struct {
	health, admin listener
	status        *status
}

// A listener is an address and the server for it.
type listener struct {
	net.Listener
	http *http.Server
}

// Listen takes both addresses, so that one that cannot be had is an error before
// anything is consumed. It answers no request before Run.
func Listen(c Config) (*Server, error) {
	return listen(c, view{c.Consumer, c.Consumer.Health(), c.Consumer.Stats()})
}

func listen(c Config, s source) (*Server, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	health, err := bind("http.health", c.Health)
	if err != nil {
		return nil, err
	}
	admin, err := bind("http.admin", c.Admin)
	if err != nil {
		health.Close()
		return nil, err
	}
	if !isLoopback(admin) {
		c.Log.Warn("http.admin is open to the network and has no login: whoever reaches it can read predictions", "address", admin.Addr().String())
	}
	st := newStatus(c, s)
	return &Server{
		health: listener{health, newHTTP(c.Log, healthHandler(c, s))},
		admin:  listener{admin, newHTTP(c.Log, adminHandler(c, s, st, isLoopback(admin)))},
		status: st,
	}, nil
}

// HealthAddr is the address that probes and Prometheus ask, with its port.
func (s *Server) HealthAddr() string { return s.health.Addr().String() }

// AdminAddr is the address of the page, with its port.
func (s *Server) AdminAddr() string { return s.admin.Addr().String() }

// shutdownTimeout is what requests under way have to end when the server stops.
const shutdownTimeout = 2 * time.Second

// Run answers until ctx ends or an address fails, whose error it returns. Either way both
// addresses are free again when it returns.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		s.status.watch(ctx)
		return nil
	})
	for _, l := range []listener{s.health, s.admin} {
		g.Go(func() error {
			if err := l.http.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("listening at %s: %w", l.Addr(), err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			if l.http.Shutdown(deadline) != nil {
				return l.http.Close() // a profile being taken, a client that does not read
			}
			return nil
		})
	}
	return g.Wait()
}

// newHTTP bounds what a client can hold on to: a slow or silent one loses its connection.
func newHTTP(log *slog.Logger, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           readOnly(h),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // net/http/pprof adds to it what a profile takes
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// readOnly refuses every method but GET and HEAD.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

func bind(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	mend := "write an address of this host, such as 127.0.0.1:9090"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		mend = "end what listens there, or give another port (0 takes a free one)"
	case errors.Is(err, syscall.EACCES):
		mend = "give a port from 1024 up"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // without the address once more
	}
	return nil, fmt.Errorf("%s: cannot listen at %s: %w; %s", key, address, err, mend)
}

func isLoopback(l net.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
