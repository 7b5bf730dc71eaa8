package faults

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// version is what docs/cache.md says of a prediction's version: 12 hex digits of event
// time, 16 of the offset, 4 of a hash of topic and partition.
func version(s Source) string {
	h := fnv.New32a()
	h.Write([]byte(s.Topic))
	sum := h.Sum32()
	return fmt.Sprintf("%012x%016x%04x", s.Time, s.Offset, (uint16(sum>>16)^uint16(sum))+uint16(s.Partition))
}

// cacheRises is C.
func (k *checker) cacheRises() {
	type key struct{ server, entity string }
	last := make(map[key]CacheSample)
	for _, s := range k.Cache {
		at := key{s.Server, s.Entity}
		if before := last[at]; s.Version < before.Version {
			k.violated(C, "%s fell from %s (%s) to %s (%s)", s.Entity, before.Version, clock(before.At), s.Version, clock(s.At))
		}
		last[at] = s
	}
}

// uncommitted is U.
func (k *checker) uncommitted() {
	if !k.Projected {
		return
	}
	type cached struct{ entity, version string }
	committed := make(map[cached]time.Time)
	for i := range k.Output {
		p := &k.Output[i]
		c := cached{p.Entity, version(p.Source)}
		if first, ok := committed[c]; !ok || p.Committed.Before(first) {
			committed[c] = p.Committed
		}
	}
	for _, s := range k.Cache {
		c := cached{s.Entity, s.Version}
		at, ok := committed[c]
		switch {
		case s.Version == "":
			continue
		case !ok:
			k.violated(U, "%s was cached as %s (%s), which was never committed", s.Entity, s.Version, clock(s.At))
		case at.After(s.Answered):
			k.violated(U, "%s was cached as %s (%s) before that was committed (%s)", s.Entity, s.Version, clock(s.Answered), clock(at))
		}
		committed[c] = s.At // said once
	}
}

// cacheAtRest is Q.
func (k *checker) cacheAtRest() {
	if k.AtRest == nil {
		return
	}
	newest := make(map[string]*outcome)
	refused := make(map[string]bool) // by id
	for _, o := range k.events {
		if o.Refused {
			refused[o.Source.String()] = true
		}
	}
	for i := range k.Output {
		o := k.events[k.Output[i].Source]
		if o == nil || o.Entity == "" {
			continue
		}
		if n := newest[o.Entity]; n == nil || version(n.Source) < version(o.Source) {
			newest[o.Entity] = o
		}
	}
	for _, entity := range slices.Sorted(maps.Keys(newest)) {
		want := newest[entity]
		got, ok := k.AtRest[entity]
		switch {
		case refused[got.ID]:
		case !ok:
			k.violated(Q, "%s is not cached; its newest prediction is %v", entity, want.Source)
		case got.Version != version(want.Source) || got.ID != want.Source.String():
			k.violated(Q, "%s is cached as %s (%s); its newest prediction is %v (%s)", entity, got.ID, got.Version, want.Source, version(want.Source))
		case !slices.ContainsFunc(want.predictions, func(p *Prediction) bool { return p.Score == got.Score }):
			k.violated(Q, "%s is cached with score %s, which %v never had", entity, got.Score, want.Source)
		}
	}
	for _, entity := range slices.Sorted(maps.Keys(k.AtRest)) {
		if newest[entity] == nil && !refused[k.AtRest[entity].ID] {
			k.violated(Q, "%s is cached as %s and has no prediction", entity, k.AtRest[entity].ID)
		}
	}
}
