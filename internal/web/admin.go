package web

import (
	"embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"

	"scry/stream"
)

//go:embed page
var files embed.FS

func adminHandler(c Config, s source, st *status, loopback bool) http.Handler {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the embedding above
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	mux.HandleFunc("/api/status", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, st.report())
	})
	mux.HandleFunc("/api/lookup", func(w http.ResponseWriter, r *http.Request) { lookup(w, r, s) })
	if c.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		// Without cmdline: --set may have given it a password.
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return guard(mux, loopback)
}

// guard refuses foreign hosts where the listener is on loopback, and tells the browser
// that the page needs nothing but itself.
func guard(h http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !isLocal(r.Host) {
			http.Error(w, "this address answers only as localhost: open http://localhost with its port", http.StatusMisdirectedRequest)
			return
		}
		head := w.Header()
		head.Set("Cache-Control", "no-store")
		head.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Referrer-Policy", "no-referrer")
		h.ServeHTTP(w, r)
	})
}

// isLocal reports whether a request's Host, with or without a port, means this machine.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// lookup answers with the cached prediction of ?entity=.
func lookup(w http.ResponseWriter, r *http.Request, s source) {
	entity := r.URL.Query().Get("entity")
	if entity == "" {
		answer(w, http.StatusBadRequest, failure{"which entity? ask for /api/lookup?entity=u42"})
		return
	}
	found, err := s.Lookup(r.Context(), entity)
	switch {
	case errors.Is(err, stream.ErrNoCache):
		answer(w, http.StatusNotFound, failure{err.Error()})
	case err != nil:
		answer(w, http.StatusBadGateway, failure{err.Error()})
	default:
		answer(w, http.StatusOK, found)
	}
}

// A failure is the body of every answer of the API but 200.
type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"error":"the answer is no JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}
