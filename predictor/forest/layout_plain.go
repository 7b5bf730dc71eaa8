package forest

import "sync"

// plain scores with the plain walk, row by row.
type plain struct {
	e    *Ensemble
	pool sync.Pool // *[]float64: margins of one row
}

func newPlain(e *Ensemble) *plain {
	p := &plain{e: e}
	p.pool.New = func() any {
		margins := make([]float64, e.Groups)
		return &margins
	}
	return p
}

func (p *plain) score(in, out []float64, rows int, raw bool) {
	pooled := p.pool.Get().(*[]float64)
	defer p.pool.Put(pooled)
	margins, width := *pooled, len(p.e.Inputs)
	for r := range rows {
		p.e.Walk(in[r*width:(r+1)*width], margins)
		p.e.emit(margins, out, r, raw)
	}
}

// emit writes row r of out: the margins, or the scores they make.
func (e *Ensemble) emit(margins, out []float64, r int, raw bool) {
	if raw {
		copy(out[r*e.Groups:], margins)
		return
	}
	n := len(e.Outputs)
	e.finish(margins, out[r*n:(r+1)*n])
}

func (p *plain) layout() string { return "plain" }
func (p *plain) bytes() int     { return 0 }
