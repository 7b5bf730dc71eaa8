// Package feature turns the bytes of an event into one row of a model's matrix.
//
// One pass over the bytes, no allocation: a feature that is absent takes its
// missing policy, a string that is not a known category counts as missing, and an
// event that cannot be used is an error the caller turns into a dead letter.
//
// # What an event is
//
// One JSON object (RFC 8259), with white space around it at most: no byte order
// mark, nothing after it. It is checked to its end, wanted or not: grammar,
// UTF-8, escapes with paired surrogates, and at most 64 levels of nesting. Of
// several members with one key the last counts, with all that is in it, as in
// Python's json; what the earlier ones held is not looked at beyond its grammar.
//
// # Paths
//
// A path leads from the event through keys and elements to a string, a number or a
// boolean: session.items[0].price. A key holding . [ ] " or \, and the empty key,
// is quoted in brackets as a JSON string, as in JSONPath: ["page.load"].ms. A path
// that ends at an object or an array makes the event malformed, unless another
// path leads on into it (a and a.b): then the feature at a is absent. A path that
// finds no object or array to lead on into finds nothing: absent.
//
// # What a value is worth
//
//	             number               with Parse            with Categories
//	number       the nearest float64  the same              by its text: 1 is "1", not "1.0"
//	true, false  1, 0                 1, 0                  by its text
//	string       malformed            the number it holds   by what it says, unescaped
//	null         absent               absent                absent
//	object       malformed            malformed             malformed
//
// A number is rounded correctly, however many digits it has; one too large for a
// float64 makes the event malformed, one too small is zero. A string with Parse
// holds a JSON number and nothing else, not even spaces; an empty one, nan and NaN
// are absent, any other is malformed.
//
// An absent value is the feature's Missing, counted in Scratch.Missing; when the
// feature is required the event is refused with ErrMissing. A category not in the
// list is Missing too (NaN for a required feature), counted in Scratch.Unknown, and
// never refused. Events that are refused are not counted.
//
// # Entity and time
//
// The entity is a string, or the text of a number or a boolean; null, an empty
// string and absence mean none. The time is an RFC 3339 string as package time reads
// it, or a number of seconds, milli- or microseconds since 1970, possibly with a
// fraction, possibly in a string; it is rounded down to the millisecond. Null and
// absence mean none; anything else, and a year beyond 0 to 9999, is malformed.
//
// # Access logs
//
// An event may be a line of a web server's access log instead, whose fields are the
// paths: [AccessLog] says what a line is and which fields there are. What a value is
// worth, and what an absent one is, is as above: a text is a string.
package feature
