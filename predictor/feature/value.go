package feature

// value reads a value that n wants, or something of which n wants.
func (r *reader) value(p int, n *node, depth int) int {
	c := r.at(p)
	switch {
	case c-'0' <= 9 || c == '-':
		d, next := r.decimal(p)
		if next < 0 {
			return next
		}
		if n.plain >= 0 {
			r.row[n.plain] = number64(d, r.data[p:next])
			return next
		}
		for _, t := range n.targets {
			r.takeNumber(t, d, r.data[p:next])
		}
		return next
	case c == '"':
		next, escaped := r.text(p + 1)
		if next >= 0 && len(n.targets) > 0 {
			r.takeText(n.targets, r.data[p+1:next-1], escaped)
		}
		return next
	case c == '{':
		r.takeContainer(n.targets, len(n.members) > 0)
		return r.object(p+1, n, depth+1)
	case c == '[':
		r.takeContainer(n.targets, len(n.elements) > 0)
		return r.array(p+1, n.elements, depth+1)
	}
	next := r.literal(p)
	if next < 0 {
		return next
	}
	if c == 'n' {
		r.forget(n.targets)
		return next
	}
	for _, t := range n.targets {
		r.takeBool(t, c == 't', r.data[p:next])
	}
	return next
}

func number64(d decimal, text []byte) float64 {
	if v, ok := d.float(text); ok {
		return v
	}
	return outOfRange.nan()
}

// forget makes targets absent: a null, or what an earlier member of the same key set.
func (r *reader) forget(targets []target) {
	for _, t := range targets {
		switch t.kind {
		case entityField:
			r.entity, r.entityFault = nil, ""
		case timeField:
			r.hasTime, r.timeFault = false, ""
		default:
			r.row[t.column] = absent.nan()
		}
	}
}

// takeContainer is for targets that find an object or an array in their place. One
// with a path that leads on into it was to be expected: then they are only absent.
func (r *reader) takeContainer(targets []target, expected bool) {
	r.forget(targets)
	if expected {
		return
	}
	for _, t := range targets {
		switch t.kind {
		case entityField:
			r.entityFault = aContainer
		case timeField:
			r.timeFault = aContainer
		default:
			r.row[t.column] = container.nan()
		}
	}
}

const aContainer = "an object or an array; a path must end at a string, a number or a boolean"

func (r *reader) takeNumber(t target, d decimal, text []byte) {
	switch t.kind {
	case number, numberText:
		r.row[t.column] = number64(d, text)
	case category:
		r.takeCategory(t, text)
	case entityField:
		r.entity, r.entityFault = text, ""
	case timeField:
		r.takeTime(text, false)
	}
}

func (r *reader) takeBool(t target, v bool, text []byte) {
	switch t.kind {
	case number, numberText:
		r.row[t.column] = 0
		if v {
			r.row[t.column] = 1
		}
	case category:
		r.takeCategory(t, text)
	case entityField:
		r.entity, r.entityFault = text, ""
	case timeField:
		r.hasTime, r.timeFault = false, "a boolean where a time is wanted"
	}
}

func (r *reader) takeText(targets []target, text []byte, escaped bool) {
	start := len(r.scratch.buf)
	if escaped {
		r.scratch.buf = unescape(r.scratch.buf, text)
		text = r.scratch.buf[start:len(r.scratch.buf):len(r.scratch.buf)]
	}
	keep := false
	for _, t := range targets {
		switch t.kind {
		case number:
			r.row[t.column] = textual.nan()
		case numberText:
			r.row[t.column] = numberIn(text)
		case category:
			r.takeCategory(t, text)
		case entityField:
			keep = true
			r.entity, r.entityFault = text, ""
			if len(text) == 0 {
				r.entity = nil
			}
		case timeField:
			r.takeTime(text, true)
		}
	}
	if !keep {
		r.scratch.buf = r.scratch.buf[:start]
	}
}

func (r *reader) takeCategory(t target, text []byte) {
	if code, ok := r.plan.categories[t.column][string(text)]; ok {
		r.row[t.column] = float64(code)
	} else {
		r.row[t.column] = unknown.nan()
	}
}

// numberIn is the value of a string for a feature with Parse.
func numberIn(text []byte) float64 {
	switch string(text) {
	case "", "nan", "NaN":
		return absent.nan()
	}
	r := reader{data: text}
	d, next := r.decimal(0)
	if next != len(text) {
		return notNumber.nan()
	}
	return number64(d, text)
}
