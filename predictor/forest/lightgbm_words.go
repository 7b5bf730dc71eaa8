package forest

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

func parseCount(value []byte, into *int) error {
	v, err := strconv.ParseInt(string(value), 10, 32)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a count", short(string(value)))
	}
	*into = int(v)
	return nil
}

func parseInts(value []byte, into *[]int32) error {
	all := (*into)[:0]
	err := eachWord(value, func(word string) error {
		v, err := strconv.ParseInt(word, 10, 32)
		all = append(all, int32(v))
		return err
	})
	*into = all
	return err
}

func parseFloats(value []byte, into *[]float64) error {
	all := (*into)[:0]
	err := eachWord(value, func(word string) error {
		v, err := strconv.ParseFloat(word, 64)
		all = append(all, v)
		if math.IsNaN(v) {
			return fmt.Errorf("is NaN")
		}
		return err
	})
	*into = all
	return err
}

// eachWord calls parse with each of the words that spaces part.
func eachWord(value []byte, parse func(word string) error) error {
	for i := 0; ; i++ {
		value = bytes.TrimLeft(value, " ")
		if len(value) == 0 {
			return nil
		}
		word := value
		if n := bytes.IndexByte(value, ' '); n >= 0 {
			word = value[:n]
		}
		value = value[len(word):]
		if err := parse(string(word)); err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
	}
}

func countWords(s string) int {
	n := 0
	for range strings.FieldsSeq(s) {
		n++
	}
	return n
}
