package stream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"scry/checkpoint"
	"scry/predictor"
)

// latencySamples is how many events of a batch, evenly spaced, are put into the
// end-to-end latency histograms: all of a small batch, and of a large one, whose events
// are acknowledged together, enough to know its spread.
const latencySamples = 32

// metrics are updated once a batch. docs/operations.md lists them all; a test holds
// the table against this file.
type metrics struct {
	consumer *Consumer

	consumed, predicted, tombstones, producedTotal prometheus.Counter
	rejected                                       map[string]prometheus.Counter // by reason
	cacheWrites                                    map[string]prometheus.Counter // by result
	cachePassed                                    map[string]prometheus.Counter // by reason
	missing, unknown                               []prometheus.Counter          // by feature
	skewed, lost, cacheLosses                      prometheus.Counter
	stages                                         map[string]prometheus.Observer
	eventLatency, appendLatency                    prometheus.Observer
	score                                          prometheus.Observer
	retries                                        *prometheus.CounterVec
	rebalances, commits, commitErrors              prometheus.Counter
	transactions                                   map[string]prometheus.Counter // by result
	assigned, held, lastSuccess                    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, c *Consumer, d *predictor.Deployment) *metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "scry_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: "scry_" + name, Help: help})
	}
	// Classic buckets for every Prometheus, native ones for those that scrape them.
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "scry_" + name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}
	}
	labelled := func(name, help, label string, values ...string) map[string]prometheus.Counter {
		v := f.NewCounterVec(prometheus.CounterOpts{Name: "scry_" + name, Help: help}, []string{label})
		m := make(map[string]prometheus.Counter, len(values))
		for _, value := range values {
			m[value] = v.WithLabelValues(value)
		}
		return m
	}
	latency := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}

	m := &metrics{
		consumer:      c,
		consumed:      counter("records_consumed_total", "Records read from the input topics."),
		predicted:     counter("predictions_total", "Events whose prediction is durable."),
		tombstones:    counter("tombstones_total", "Tombstones passed on."),
		producedTotal: counter("records_produced_total", "Records acknowledged by the brokers: predictions, tombstones and dead letters."),
		rejected:      labelled("rejected_total", "Events that became dead letters, by reason.", "reason", reasons...),
		cacheWrites:   labelled("cache_writes_total", "Keys offered to the cache, by what became of them.", "result", "written", "stale", "expired", "skipped"),
		cachePassed:   labelled("cache_passed_over_total", "Records of the output topic that the projector did not copy to the cache, by reason.", "reason", "no_entity", "other", "lost"),
		skewed:        counter("event_time_replaced_total", "Events with a time over an hour past their record's, which stands in."),
		cacheLosses:   counter("cache_losses_total", "Times Redis was another process or server than before, was emptied or evicted keys: it has or may have lost predictions."),
		lost:          counter("records_lost_total", "Records known to be gone before they were read."),
		stages:        make(map[string]prometheus.Observer),
		eventLatency:  f.NewHistogram(histogram("event_latency_seconds", "From an event's own time to its prediction being durable, sampled.", latency)),
		appendLatency: f.NewHistogram(histogram("append_latency_seconds", "From a record's timestamp to its prediction being durable, sampled.", latency)),
		score:         f.NewHistogram(histogram("score", "Scores given, sampled.", prometheus.LinearBuckets(0, .1, 11))),
		retries:       f.NewCounterVec(prometheus.CounterOpts{Name: "scry_retries_total", Help: "Failed tries that were or will be repeated, by dependency."}, []string{"dependency"}),
		rebalances:    counter("rebalances_total", "Times partitions were revoked or lost."),
		commits:       counter("commits_total", "Commits the group acknowledged."),
		transactions:  labelled("transactions_total", "Transactions of exactly_once, by outcome.", "result", "committed", "aborted"),
		commitErrors:  counter("commit_errors_total", "Commits that failed, wholly or for some partitions."),
		assigned:      gauge("assigned_partitions", "Partitions this process consumes."),
		held:          gauge("held", "1 while a batch is kept back because its rejects look like a fault of model or mapping."),
		lastSuccess:   gauge("last_success_timestamp_seconds", "When a batch was last completed, Unix time."),
	}
	stages := f.NewHistogramVec(histogram("stage_duration_seconds", "Time a batch spends in each stage; extract, predict and encode add up over cores.",
		[]float64{1e-5, 1e-4, 2.5e-4, 5e-4, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}), []string{"stage"})
	for _, s := range []string{"fetch", "extract", "predict", "encode", "produce", "cache", "commit"} {
		m.stages[s] = stages.WithLabelValues(s)
	}
	missing := f.NewCounterVec(prometheus.CounterOpts{Name: "scry_feature_missing_total", Help: "Events that lacked the feature."}, []string{"feature"})
	unknown := f.NewCounterVec(prometheus.CounterOpts{Name: "scry_feature_unknown_category_total", Help: "Events whose category the model does not know; it counts as missing."}, []string{"feature"})
	for _, ft := range d.Features {
		m.missing = append(m.missing, missing.WithLabelValues(ft.Name))
		m.unknown = append(m.unknown, unknown.WithLabelValues(ft.Name))
	}
	f.NewGaugeVec(prometheus.GaugeOpts{Name: "scry_model_info", Help: "The live model; always 1."}, []string{"name", "version", "digest"}).
		WithLabelValues(d.Name, d.Version, d.Digest).Set(1)
	if reg != nil {
		reg.MustRegister(m)
	}
	return m
}

func (m *metrics) stage(name string, d time.Duration) { m.stages[name].Observe(d.Seconds()) }
func (m *metrics) retried(dependency string)          { m.retries.WithLabelValues(dependency).Inc() }

func (m *metrics) dataLoss(d checkpoint.Decision) { m.lost.Add(float64(d.Lost)) }

func (m *metrics) committed(took time.Duration) {
	m.commits.Inc()
	m.stage("commit", took)
}

func (m *metrics) cacheWrote(r cacheResult) {
	m.cacheWrites["written"].Add(float64(r.written))
	m.cacheWrites["stale"].Add(float64(r.stale))
	m.cacheWrites["expired"].Add(float64(r.expired))
}

// cacheSkipped counts the rows that were to be written.
func (m *metrics) cacheSkipped(rows []cacheRow) {
	n := 0
	for i := range rows {
		if len(rows[i].entity) > 0 {
			n++
		}
	}
	m.cacheWrites["skipped"].Add(float64(n))
}

// scored takes in what scoring a batch counted.
func (m *metrics) scored(b *batch) {
	m.consumed.Add(float64(len(b.records)))
	var sum chunkStats
	for i := range b.chunkCount() {
		ch := &b.chunks[i]
		sum.extract += ch.stats.extract
		sum.predict += ch.stats.predict
		sum.encode += ch.stats.encode
		sum.skewed += ch.stats.skewed
		if ch.stats.scored {
			m.score.Observe(ch.stats.score)
		}
		for f := range ch.scratch.Missing {
			if n := ch.scratch.Missing[f]; n > 0 {
				m.missing[f].Add(float64(n))
			}
			if n := ch.scratch.Unknown[f]; n > 0 {
				m.unknown[f].Add(float64(n))
			}
		}
	}
	m.stage("extract", sum.extract)
	m.stage("predict", sum.predict)
	m.stage("encode", sum.encode)
	m.skewed.Add(float64(sum.skewed))
}

// done takes in a completed batch.
func (m *metrics) done(b *batch) {
	now := time.Now()
	predicted, tombstones := 0, 0
	for i := range b.rows {
		switch w := &b.rows[i]; {
		case w.reject != nil:
			m.rejected[w.reject.reason].Inc()
		case w.tombstone:
			tombstones++
		default:
			predicted++
		}
	}
	m.predicted.Add(float64(predicted))
	m.tombstones.Add(float64(tombstones))
	m.producedTotal.Add(float64(len(b.rows)))
	step := (len(b.rows) + latencySamples - 1) / latencySamples
	nowMs := float64(now.UnixNano()) / 1e6
	for i := 0; i < len(b.rows); i += step {
		if b.rows[i].reject == nil { // else its own time may be unknown
			m.eventLatency.Observe(max(nowMs-float64(b.rows[i].eventTime), 0) / 1e3)
		}
		m.appendLatency.Observe(max(nowMs-float64(b.records[i].Timestamp.UnixMilli()), 0) / 1e3)
	}
	m.lastSuccess.Set(float64(now.UnixMilli()) / 1e3)
}

// What is read off the consumer's state at each scrape.
var (
	lagDesc         = prometheus.NewDesc("scry_consumer_lag", "Records between the next to be committed and the end of the partition.", []string{"topic", "partition"}, nil)
	lagSecondsDesc  = prometheus.NewDesc("scry_consumer_lag_seconds", "Age of the last record done while there is lag; 0 without.", []string{"topic", "partition"}, nil)
	cacheLagDesc    = prometheus.NewDesc("scry_cache_lag", "Records of the output topic that the cache lacks, with cache.from: output.", []string{"topic", "partition"}, nil)
	cacheAgeDesc    = prometheus.NewDesc("scry_cache_lag_seconds", "Age of the last record that the projector has written while there is lag; 0 without.", []string{"topic", "partition"}, nil)
	flightDesc      = prometheus.NewDesc("scry_in_flight_bytes", "Bytes of events read and not yet delivered.", nil, nil)
	batchesDesc     = prometheus.NewDesc("scry_in_flight_batches", "Batches read and not yet delivered.", nil, nil)
	oldestDesc      = prometheus.NewDesc("scry_oldest_batch_age_seconds", "Age of the oldest batch in flight; 0 without.", nil, nil)
	certificateDesc = prometheus.NewDesc("scry_certificate_not_after_timestamp_seconds", "When the client certificate in kafka.tls.cert or cache.tls.cert expires, Unix time; absent without one.", []string{"dependency"}, nil)
	dependencyDesc  = prometheus.NewDesc("scry_dependency_up", "0 while a dependency is unreachable.", []string{"dependency"}, nil)
)

// Describe is of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect is of prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	lag := func(of *Consumer, records, seconds *prometheus.Desc) {
		for _, l := range of.Lag() {
			partition := strconv.Itoa(int(l.Partition))
			gauge(records, float64(l.Records), l.Topic, partition)
			gauge(seconds, l.Age.Seconds(), l.Topic, partition)
		}
	}
	lag(m.consumer, lagDesc, lagSecondsDesc)
	if p := m.consumer.projector; p != nil {
		lag(p, cacheLagDesc, cacheAgeDesc)
	}
	bytes, batches, age := m.consumer.window.load()
	gauge(flightDesc, float64(bytes))
	gauge(batchesDesc, float64(batches))
	gauge(oldestDesc, age.Seconds())
	certificate := func(dependency string, c TLSConfig) {
		if at, ok := c.certNotAfter(); ok {
			gauge(certificateDesc, float64(at.Unix()), dependency)
		}
	}
	if m.consumer.cfg.Kafka.TLS.Enabled {
		certificate("kafka", m.consumer.cfg.Kafka.TLS)
	}
	up := func(dependency string) {
		v := 1.0
		if m.consumer.health.isDown(dependency) {
			v = 0
		}
		gauge(dependencyDesc, v, dependency)
	}
	up("kafka")
	if cache := m.consumer.cache; cache != nil {
		if cache.options.TLSConfig != nil {
			certificate("redis", m.consumer.cfg.Cache.TLS)
		}
		up("redis")
	}
}
