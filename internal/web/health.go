package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"scry/stream"
)

func healthHandler(c Config, s source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", probe("livez", s.Live, func() []stream.Check {
		return []stream.Check{{Name: "progress", Err: s.Live()}}
	}))
	mux.HandleFunc("/readyz", probe("readyz", s.Ready, s.Checks))
	mux.Handle("/metrics", promhttp.HandlerFor(c.Gatherer, promhttp.HandlerOpts{
		// Prometheus asks for the protobuf form where it keeps native histograms, and is answered so.
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 10,
		ErrorLog:            slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}))
	return mux
}

// probe answers 200 and ok, or 503 and the reason. With ?verbose it lists the checks, in
// the form of Kubernetes' own components.
func probe(name string, verdict func() error, checks func() []stream.Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if r.URL.Query().Has("verbose") {
			verbose(w, name, checks())
			return
		}
		if err := verdict(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

func verbose(w http.ResponseWriter, name string, checks []stream.Check) {
	var lines strings.Builder
	verdict := "passed"
	for _, c := range checks {
		if c.Err == nil {
			fmt.Fprintf(&lines, "[+]%s ok\n", c.Name)
			continue
		}
		verdict = "failed"
		fmt.Fprintf(&lines, "[-]%s failed: %v\n", c.Name, c.Err)
	}
	if verdict == "failed" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, "%s%s check %s\n", &lines, name, verdict)
}
