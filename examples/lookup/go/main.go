// Command go prints what Redis holds for the entities given: go run ./go u42 u43
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

const limit = time.Hour

func main() {
	options, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://localhost:6379/0"))
	if err != nil {
		log.Fatal(err)
	}
	client := redis.NewClient(options)
	model := cmp.Or(os.Getenv("MODEL"), "buyer-intent")
	for _, entity := range os.Args[1:] {
		var p struct {
			Score     *float64
			Label     string
			EventTime time.Time `json:"event_time"`
			Deleted   bool
		}
		value, err := client.Get(context.Background(), "pred:"+model+":"+entity).Bytes()
		if err == nil {
			err = json.Unmarshal(value, &p)
		}
		switch {
		case errors.Is(err, redis.Nil):
			fmt.Println(entity, "missing")
		case err != nil:
			log.Fatal(err)
		case p.Deleted:
			fmt.Println(entity, "deleted")
		case p.Score == nil: // the model gave no finite number
			fmt.Println(entity, "missing")
		default:
			state := "fresh"
			if time.Since(p.EventTime) >= limit {
				state = "stale"
			}
			fmt.Println(entity, state, *p.Score, cmp.Or(p.Label, "-"))
		}
	}
}
